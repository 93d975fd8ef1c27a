"""The command `amigen`, and `python -m amigen`."""

from __future__ import annotations

from amigen.cli import main

if __name__ == "__main__":
    main()
