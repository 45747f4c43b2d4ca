"""CausalBench's own data files, downloaded from their sources."""
