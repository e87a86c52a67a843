"""Pictures: the digit recipes and transfer."""
