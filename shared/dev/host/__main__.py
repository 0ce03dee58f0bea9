"""`python -m shared.dev.host`."""

from shared.dev.host.command import main

if __name__ == "__main__":
    raise SystemExit(main())
