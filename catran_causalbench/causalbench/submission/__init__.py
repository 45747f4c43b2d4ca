"""Checks of a submission to the CausalBench challenge."""
