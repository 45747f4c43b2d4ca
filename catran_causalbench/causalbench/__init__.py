"""Everything that stands between this package and CausalBench's own programs and files."""
