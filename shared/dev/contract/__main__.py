"""`python -m shared.dev.contract`."""

from shared.dev.contract.command import main

if __name__ == "__main__":
    raise SystemExit(main())
