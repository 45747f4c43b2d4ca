"""Run and score many methods on many data sets as CausalBench does, and resume an interrupted sweep."""
