"""Wrappers and masks: transformations of some leaves, at some updates, or of averages of the parameters."""
