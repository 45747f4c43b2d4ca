"""Perturb-seq data: reading, validation, preprocessing and measured effects."""
