"""The two models that learn attention between genes, one folder each."""
