"""The `dicom` command."""
