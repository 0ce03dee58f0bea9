"""Bytes to and from the client: request and reply, media types, multipart."""
