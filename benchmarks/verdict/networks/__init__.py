"""The architectures of the benchmark, one file for each kind, small enough for 8x8 pictures."""
