"""CaTran as its paper describes it: attention learned by predicting masked expression in minibatches."""
