"""A folder of files as an ordinary source system: every line or row is a row of a stream."""

from tieout.connectors.files.connector import FilesConnector

CONNECTOR = FilesConnector()
