"""The rules, a module for each kind of subject. Each has a before/after pair in tests/api/breaking/pairs."""
