"""`python -m shared.dev.costs`."""

from shared.dev.costs.command import main

if __name__ == "__main__":
    raise SystemExit(main())
