"""Passes that rewrite a traced graph before it is compiled."""
