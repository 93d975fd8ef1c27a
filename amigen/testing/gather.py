"""Facts through any testinfra connection, in one round trip."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from amigen.facts import Facts, GatherError, Wanted, gather_script, read_facts
from amigen.facts.surroundings import Surroundings


def gather(backend: Any, wanted: Wanted) -> Facts:
    """Run the script on a testinfra backend and read what it printed.

    Raises:
        GatherError: The script did not run to its end.
        RuntimeError: As the backend raises it.
    """
    token = secrets.token_hex(16)
    done = backend.run(gather_script(wanted, token))
    try:
        facts = read_facts(wanted, done.stdout_bytes, token)
    except GatherError as error:
        said = done.stderr_bytes.decode("utf-8", "replace").strip()[-300:]
        raise GatherError(f"{error} (code {done.rc}{f': {said}' if said else ''})") from None
    if getattr(backend, "NAME", "") == "chroot":
        return replace(facts, surroundings=Surroundings(chroot=True))
    return facts
