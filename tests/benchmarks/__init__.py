"""Measurements: `python -m tests.benchmarks NAME`. They are compared side by side, never asserted."""
