"""Who may call what (contract C16): tokens, the keys that prove them, roles, and the gate that asks for them."""
