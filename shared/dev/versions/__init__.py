"""The life of a version, step by step."""
