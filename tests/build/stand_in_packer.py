"""A program that plays Packer, for what no real Packer here can show: version 1.7 and later, and every way to fail.

It is no proof that a real Packer 1.7 takes the files: it shows what amigen calls, and how amigen takes what it hears.
"""

from __future__ import annotations

import stat
from pathlib import Path

_SCRIPT = """\
#!/usr/bin/env bash
# Plays Packer {version}: writes its arguments down and does what the test wants.
set -u
printf '%s\\n' "$*" >>"{calls}"
case $1 in
  version) echo "{says}"; exit 0 ;;
  init) exit 0 ;;
esac
{body}
"""


def stand_in_packer(folder: Path, body: str = "exit 0", *, version: str = "1.11.2", says: str | None = None) -> Path:
    """The program; `calls` beside it gets its arguments, a line per call."""
    program = folder / "packer"
    said = says if says is not None else f"Packer v{version}"
    program.write_text(_SCRIPT.format(version=version, says=said, calls=folder / "calls", body=body))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
