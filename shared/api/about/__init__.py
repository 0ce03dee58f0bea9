"""What the service says of itself: its versions, the conformance of each, their differences, and pages for it."""
