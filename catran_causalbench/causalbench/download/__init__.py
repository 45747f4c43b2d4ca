"""CausalBench's own data files, fetched from their sources."""
