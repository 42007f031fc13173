"""Tests that need a program which this machine does not have are not collected; the same ground
is covered loudly by `make real-systems`, which fails without it."""

from tests.connectors.nats_server import BINARY

NEED_SERVER = [
    "test_nats.py",
    "test_nats_failures.py",
    "test_nats_flow.py",
    "test_nats_after_erp.py",
]
collect_ignore = [] if BINARY else NEED_SERVER
