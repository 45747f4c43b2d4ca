"""Attention learned from statistics of the whole training set, weighed by small gates."""
