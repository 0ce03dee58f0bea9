"""Peers: other people's DICOM programs that the service is tried with. Never deployed, and no part of `make check`."""
