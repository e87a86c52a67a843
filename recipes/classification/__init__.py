"""Recipes of the lessons on classification."""
