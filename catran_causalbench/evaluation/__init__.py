"""Evaluation of inferred networks on held-out cells, against reference networks and against the ground truth.

An edge list is a sequence of pairs (source, target) of gene names, best first. Where a function takes two arrays
instead, these are the columns of the edges' genes, as ``edge_lists.edge_columns`` returns them.
"""
