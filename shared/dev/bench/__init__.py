"""Benchmarks: what the service costs, beside something to judge it by."""
