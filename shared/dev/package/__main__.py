"""`python -m shared.dev.package`."""

from shared.dev.package.command import main

if __name__ == "__main__":
    raise SystemExit(main())
