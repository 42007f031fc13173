"""Speaks NetSuite: SuiteTalk REST for writing, SuiteQL for reading back."""

from tieout.connectors.netsuite.connector import NetSuiteConnector

CONNECTOR = NetSuiteConnector()

__all__ = ["CONNECTOR"]
