"""Tieout keeps finance systems in agreement, and proves it. Start at docs/ARCHITECTURE.md."""

__version__ = "0.1.0"
