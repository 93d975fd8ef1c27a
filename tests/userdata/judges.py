"""The real nodeadm as the judge of user data, asked many times in one process."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.real.build import program


class Verdict(NamedTuple):
    """What `nodeadm config check` says (empty: valid), and what `nodeadm config dump` prints."""

    error: str
    config: dict[str, Any]


def nodeadm(documents: Iterable[bytes], drop_ins: dict[str, str] | None = None) -> list[Verdict]:
    """The verdict on each document, or the test is skipped where nodeadm is not built."""
    judge = program("nodeadm", "nodeadm-judge")
    asked = "".join(
        json.dumps({"userData": base64.b64encode(document).decode(), "dropIns": drop_ins or {}}) + "\n"
        for document in documents
    )
    done = subprocess.run([judge], input=asked.encode(), capture_output=True, timeout=600, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [Verdict(answer["error"], answer.get("config") or {}) for answer in answers]
