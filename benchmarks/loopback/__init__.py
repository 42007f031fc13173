"""A landscape made for measuring: signed webhooks with whole rows in, a plain HTTP ledger out."""
