"""CaTran as its paper describes it: attention learned from masked expression, minibatch by minibatch."""
