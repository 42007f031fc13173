"""Salesforce: accounts, products and opportunities over the REST data API and outbound messages."""

from tieout.connectors.salesforce.connector import Salesforce

CONNECTOR = Salesforce()
