"""Bytes to and from Azure Storage. Nobody else knows there is a cloud."""
