"""Benchmarks: they print what they measured and never pass or fail."""
