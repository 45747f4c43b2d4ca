"""Benchmark directories built from a screen or from a simulation."""
