"""What changed between two documents, and the gate that keeps promises."""
