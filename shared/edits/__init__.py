"""Changing what is stored: delete, bulk update; and copying it out: export."""
