"""Benchmarks: every figure as a ratio to a peer or a physical limit measured in the same run. Not collected by pytest."""
