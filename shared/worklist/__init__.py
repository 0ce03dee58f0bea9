"""The worklist (UPS-RS). `handlers.py` is the door."""
