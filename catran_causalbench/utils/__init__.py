"""Helpers that have nothing to do with genes: files, locks, threads, processes, hardware and validation."""
