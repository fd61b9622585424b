"""PyTorch models, on the host."""
