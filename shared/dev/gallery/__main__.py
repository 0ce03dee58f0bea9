"""`python -m shared.dev.gallery`."""

from shared.dev.gallery.command import main

if __name__ == "__main__":
    raise SystemExit(main())
