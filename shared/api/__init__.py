"""The front door: everything between Azure Functions and a handler. Versions, routes and headers live here only."""
