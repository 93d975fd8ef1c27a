"""`python -m amigen` is the `amigen` command."""

from amigen.cli import main

main()
