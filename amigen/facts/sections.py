"""The gathered output taken apart into sections. What a target prints is not trusted to be well-formed."""

from __future__ import annotations

import re
from dataclasses import dataclass


class GatherError(Exception):
    """The output is not that of a script which ran to its end."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the output.

    Attributes:
        name: Its first word.
        rest: The rest of its line.
        body: What was printed in it, without the line end before the next section.
    """

    name: str
    rest: str
    body: bytes


def split_sections(output: bytes, token: str) -> list[Section]:
    """All sections, without the last, which is `end`.

    What is printed before the first (banners, messages of the day) is left out.

    Raises:
        GatherError: There is no section, or the last is not there.
    """
    mark = b"\n" + token.encode() + b" "
    # The first mark may be at the very beginning, where no line ends before it.
    parts = (b"\n" + output).split(mark)[1:]
    sections = []
    for part in parts:
        line, _, body = part.partition(b"\n")
        name, _, rest = line.decode("ascii", "replace").partition(" ")
        sections.append(Section(name=name, rest=rest, body=body))
    if not sections:
        raise GatherError("the target printed no output of the script")
    if sections[-1].name != "end":
        raise GatherError(f"the script was cut short after the section {sections[-1].name}")
    return sections[:-1]


def code_of(text: str) -> int:
    """An exit code of a `code` section.

    Raises:
        GatherError: It is not one.
    """
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise GatherError(f"no exit code: {text[:40]!r}")
    return int(text)
