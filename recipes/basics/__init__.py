"""First steps: tensors, gradients, layers, losses, and data as tensors."""
