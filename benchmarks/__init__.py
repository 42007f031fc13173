"""Measurements, one command each: `python -m benchmarks.<name>`. Never part of the tests."""
