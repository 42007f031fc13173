"""Parts of the connector contract suite, put together in `rehearsal.connector_contract`."""
