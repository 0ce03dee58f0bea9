"""Tools for people who work on the service. Never deployed (.funcignore)."""
