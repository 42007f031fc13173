"""Speaks NATS JetStream: events read by sequence, events published once, CloudEvents envelopes."""

from tieout.connectors.nats.connector import NatsConnector

CONNECTOR = NatsConnector()

__all__ = ["CONNECTOR"]
