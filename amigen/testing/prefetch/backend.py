"""A testinfra backend that knows some answers already."""

from __future__ import annotations

import re
import secrets
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from amigen.testing.prefetch.answers import Answer, answers
from amigen.testing.prefetch.script import gather_script
from amigen.testing.prefetch.sections import GatherError
from amigen.testing.prefetch.wanted import Wanted

# Commands that only look; after any other, what was gathered may hold no longer.
_ONLY_LOOKS = re.compile(
    r"(test -|stat -|cat |sha256sum |md5sum |dpkg-query |rpm -q|uname |command -v |realpath |readlink |head "
    r"|systemctl (is-|show|list-|status)|grep |find |ls |getent |id |sysctl -n |ss |ip )[^;&|`$<>\n]*(\| cut -d *' ' -f *1)?$"
)


class PrefetchedBackend(BaseBackend):
    """Answers from what was gathered, and passes everything else on.

    A command that may change something makes it forget: from then on every question goes to the host.
    """

    def __init__(self, inner: BaseBackend, known: dict[str, Answer]) -> None:
        super().__init__(inner.hostname, sudo=inner.sudo, sudo_user=inner.sudo_user)
        self.inner = inner
        self.known = known
        # For tests of this package and for curiosity: what went to the host after all.
        self.passed_on: list[str] = []
        # Of the class in BaseBackend, of the connection here: plugins ask for it by this name.
        self.NAME = inner.NAME

    def get_pytest_id(self) -> str:
        return str(self.inner.get_pytest_id())

    def get_encoding(self) -> str:
        return "utf-8"

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        text = self.quote(command, *args)
        answer = self.known.get(text)
        if answer is not None:
            return self.result(answer.code, text.encode("utf-8", "surrogateescape"), answer.stdout, answer.stderr)
        self.passed_on.append(text)
        if not _ONLY_LOOKS.match(text):
            self.known = {}
        return self.inner.run(command, *args, **kwargs)


def prefetch(inner: BaseBackend, wanted: Wanted) -> PrefetchedBackend:
    """Gather through any testinfra backend.

    Raises:
        GatherError: The script did not run to its end.
    """
    return PrefetchedBackend(inner, gather(inner, wanted))


def gather(inner: BaseBackend, wanted: Wanted) -> dict[str, Answer]:
    """One round trip: the answers to what is wanted; raises as `prefetch`."""
    token = secrets.token_hex(16)
    done = inner.run(gather_script(wanted, token))
    try:
        known = answers(wanted, done.stdout_bytes, token)
    except GatherError as error:
        said = done.stderr_bytes.decode("utf-8", "replace").strip()[-300:]
        raise GatherError(f"{error} (code {done.rc}{f': {said}' if said else ''})") from None
    return known
