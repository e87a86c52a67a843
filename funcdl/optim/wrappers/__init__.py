"""Transformations that act through others: on some leaves, on some updates, or on averages of the parameters."""
