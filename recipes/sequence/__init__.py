"""Sequences: letters, words, rows of pixels and points of a curve."""
