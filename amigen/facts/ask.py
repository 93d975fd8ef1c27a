"""Facts over any connection, in one round trip."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import replace
from typing import Protocol

from amigen.facts.model import Facts
from amigen.facts.read import GatherError, read_facts
from amigen.facts.script import gather_script
from amigen.facts.surroundings import Surroundings
from amigen.facts.wanted import Wanted


class Runs(Protocol):
    """Runs scripts on a node, such as `amigen.connections.model.Connection`."""

    @property
    def surroundings(self) -> Surroundings | None:
        """What the node is, where that need not be asked."""

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run a script of POSIX sh."""


def gather(connection: Runs, wanted: Wanted) -> Facts:
    """Run the script over a connection and read what it printed.

    Raises:
        GatherError: The script did not run to its end.
        CouldNotCheckError: As the connection raises it.
    """
    token = secrets.token_hex(16)
    done = connection.run(gather_script(wanted, token))
    try:
        facts = read_facts(wanted, done.stdout, token)
    except GatherError as error:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise GatherError(f"{error} (code {done.returncode}{f': {said}' if said else ''})") from None
    return replace(facts, surroundings=connection.surroundings) if connection.surroundings else facts
