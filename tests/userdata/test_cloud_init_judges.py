"""cloud-init itself against `explain`: which parts run, under which names, in which order, to the byte."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

from amigen.userdata import mime, packed
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.readers import effective
from tests.userdata.conftest import Left
from tests.userdata.test_karpenter_judges import documents
from tests.userdata.test_nodeadm_judges import mutated

Script = tuple[str, bytes]


def text(content: bytes) -> bytes:
    """The script, unpacked, as cloud-init writes it, without the line ends at its end."""
    return packed.unix_lines(packed.unpack(content) or content).rstrip(b"\n")


def predicted(document: bytes) -> tuple[list[Script], list[Script], bool]:
    """Scripts, those that run by frequency, and whether explain finds fault with what cloud-init makes of it."""
    found, parts = explain(document, "self-managed"), parse(document).parts
    rows = [(row.filename, effective(parts[row.number - 1])) for row in found.parts]
    scripts = [(name, text(part.content)) for name, part in rows if part.type == mime.SHELL]
    early = [(name, text(part.content)) for name, part in rows if part.type in mime.BY_FREQUENCY]
    faults = [p for p in found.problems if p.reader == "cloud-init" or (p.severity == "error" and not p.reader)]
    return scripts, early, bool(faults)


def test_what_runs_is_what_explain_says(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Documents at hand and mutated ones, where explain finds no fault for cloud-init."""
    chance = random.Random(25)
    judged = {**documents(), **{f"mutated {number}": mutated(chance) for number in range(500)}}
    wrong, sound = [], 0
    for name, document in judged.items():
        scripts, early, faults = predicted(document)
        # cloud-init would ask the Internet for an include; EC2 takes off base64 around the whole.
        if faults or b"#include" in document:
            continue
        sound += 1
        plain = base64.b64decode(document) if parse(document).wrapped[:1] == ("base64",) else document
        left = cloud_init_leaves(plain)
        seen = [[(file, text(content)) for file, content in found] for found in (left.scripts, left.early)]
        if (left.error, *seen) != ("", scripts, early) and name != "field jinja_early.mime":
            wrong.append((name, document, left, scripts))

    assert wrong == []
    assert sound > 350


def test_a_template_runs_under_its_own_name(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    left = cloud_init_leaves(documents()["field jinja_early.mime"])

    assert left.scripts[0] == ("00-a.sh", b"#!/bin/bash\necho eu-west-1\n")
    assert [name for name, _ in left.scripts] == [
        name for name, _ in predicted(documents()["field jinja_early.mime"])[0]
    ]
