"""The command `amigen`, and `python -m amigen`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line."""
    # It begins with loading hundreds of modules, in which there is no garbage to be found.
    gc.set_threshold(100_000)
    from amigen import cli

    cli.main()


if __name__ == "__main__":
    main()
