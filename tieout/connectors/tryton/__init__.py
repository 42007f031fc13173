"""Tryton 8.2, a real double-entry ERP, over its public JSON-RPC."""

from tieout.connectors.tryton.connector import CONNECTOR

__all__ = ["CONNECTOR"]
