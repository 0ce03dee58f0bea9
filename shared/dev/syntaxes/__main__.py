"""`python -m shared.dev.syntaxes`."""

from shared.dev.syntaxes.command import main

if __name__ == "__main__":
    raise SystemExit(main())
