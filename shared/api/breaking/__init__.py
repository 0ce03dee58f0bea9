"""Two OpenAPI documents → what changed for a client, and whether it breaks one. `engine.compare` is the door."""
