"""Adapters to the programs and files of CausalBench."""
