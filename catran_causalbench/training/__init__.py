"""Training with PyTorch Lightning: the trainer, its callbacks, checkpoints and the run directory."""
