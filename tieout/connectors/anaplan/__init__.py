"""Anaplan: booking lines into a planning model by file and import, read back from a view."""

from tieout.connectors.anaplan.connector import AnaplanConnector

CONNECTOR = AnaplanConnector()
