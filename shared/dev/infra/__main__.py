"""`python -m shared.dev.infra`."""

from shared.dev.infra.command import main

if __name__ == "__main__":
    raise SystemExit(main())
