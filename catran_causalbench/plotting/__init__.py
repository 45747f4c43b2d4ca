"""Pictures: the network, the attention, the training, and what a benchmark found."""
