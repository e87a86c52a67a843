"""Regression: lines and curves through points, by gradient descent and its relatives."""
