"""Changing what is stored: delete."""
