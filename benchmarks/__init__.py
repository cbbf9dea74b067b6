"""Benchmarks of sppkit: run with `python -m benchmarks.<name>` from the root of a clone."""
