"""Rewrites of a traced graph, before it is compiled."""
