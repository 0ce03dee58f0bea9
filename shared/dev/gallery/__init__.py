"""Rendered frames to look at."""
