"""Wrappers of optimizers: for some leaves only, for some updates only, and for averages of the parameters."""
