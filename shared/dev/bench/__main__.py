"""`python -m shared.dev.bench`."""

from shared.dev.bench.command import main

if __name__ == "__main__":
    raise SystemExit(main())
