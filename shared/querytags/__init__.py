"""Extended query tags: what search knows beside what it always knows (contract C9)."""
