"""Simulated Perturb-seq experiments whose causal model is known."""
