"""Many methods on many data sets, run and scored as CausalBench does; an interrupted sweep can be resumed."""
