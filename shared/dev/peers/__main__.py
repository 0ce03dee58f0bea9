"""`python -m shared.dev.peers`."""

from shared.dev.peers.command import main

if __name__ == "__main__":
    raise SystemExit(main())
