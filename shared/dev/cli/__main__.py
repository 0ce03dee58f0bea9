"""`python -m shared.dev.cli`."""

from shared.dev.cli.command import main

if __name__ == "__main__":
    raise SystemExit(main())
