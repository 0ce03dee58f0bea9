"""The data partitions there are. `handlers.py` is the door."""
