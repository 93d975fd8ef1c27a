"""Several failures of one command as one error."""

from __future__ import annotations

from collections.abc import Iterable

from amigen.base.errors import AmigenError, AwsError


def raise_failures(results: Iterable[tuple[str, object]], mixed: type[AmigenError] = AwsError) -> None:
    """Every failure with its place, as one error of their kind.

    Args:
        results: The place of each, with its error where it failed.
        mixed: What is raised where they have different exit codes.

    Raises:
        AmigenError: There are failures.
    """
    failures = [(where, each) for where, each in results if isinstance(each, AmigenError)]
    if not failures:
        return
    kinds = [error.kind() for _, error in failures]
    # Several kinds of one exit code are told apart by their words alone.
    kind = kinds[0] if len({each.exit_code for each in kinds}) == 1 else mixed
    lines = [f"{where}: {error}".replace("\n  hint:", "\n    hint:") for where, error in failures]
    if len(failures) == 1:
        where, first = failures[0]
        error = kind(f"{where}: {first.message}", first.hint)
    else:
        error = kind("\n  ".join((f"{len(failures)} failed:", *lines)))
    # For programs.
    error.parts = tuple(failures)
    raise error
