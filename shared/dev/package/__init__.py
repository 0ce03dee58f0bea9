"""The zip that is deployed."""
