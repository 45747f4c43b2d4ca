"""CausalBench's own data, prepared once, so that `causalbench_run` starts from small files."""
