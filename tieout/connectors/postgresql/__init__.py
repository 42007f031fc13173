"""A PostgreSQL database as an ordinary system: tables are streams."""

from tieout.connectors.postgresql.connector import PostgreSQLConnector

CONNECTOR = PostgreSQLConnector()
