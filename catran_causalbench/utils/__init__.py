"""Helpers that know nothing of genes: files, locks, threads, processes, hardware and validation."""
