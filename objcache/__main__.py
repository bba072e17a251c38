"""`python -m objcache`: the command line."""

from objcache.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
