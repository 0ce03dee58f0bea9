"""What the service does with each transfer syntax, tried on files."""
