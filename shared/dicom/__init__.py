"""What DICOM says: pure functions, no I/O, no async."""
