"""`python -m shared.dev.versions`."""

from shared.dev.versions.command import main

if __name__ == "__main__":
    raise SystemExit(main())
