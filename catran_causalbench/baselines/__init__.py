"""Other methods, each written from its description; where one differs from its authors' code, its docstring says so.

A baseline is a function ``name(dataset, seed)`` that returns a score for every pair of genes, genes × genes, source ×
target: the higher, the better the edge; ``-inf`` where the method knows no such edge. The diagonal is ignored.
"""
