"""The Packer of this machine: which one, how it is called, and what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.processes import EndlessOutputError, run_capped

_HOW_TO_GET = (
    "apt-get install packer (Debian; 1.6.6 is enough), or a newer one: https://developer.hashicorp.com/packer/install"
)


@dataclass(frozen=True, kw_only=True)
class Packer:
    """A Packer.

    Attributes:
        path: The program.
        version: Such as (1, 6, 6).
    """

    path: str
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """`1.6.6`."""
        return ".".join(map(str, self.version))

    @property
    def modern(self) -> bool:
        """1.7 and later: plugins are installed by `packer init`, and a folder is built."""
        return self.version >= (1, 7, 0)


def find_packer(path: str | None = None) -> Packer:
    """The Packer at `path`, else the one in PATH.

    Raises:
        ToolError: There is none, it is another program of that name, or it is too old.
    """
    program = path or shutil.which("packer")
    if program is None:
        raise ToolError("Packer is not installed", _HOW_TO_GET)
    try:
        said = run_capped(
            [program, "version"],
            timeout=60,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "CHECKPOINT_DISABLE": "1", "HOME": "/nonexistent"},
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired, EndlessOutputError) as error:
        raise ToolError(f"cannot run {program}: {error}", _HOW_TO_GET) from None
    found = re.search(r"Packer v(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        # Fedora and Amazon Linux have another /usr/sbin/packer, of cracklib.
        raise ToolError(f"{program} is not HashiCorp's Packer", _HOW_TO_GET)
    packer = Packer(path=program, version=(int(found[1]), int(found[2]), int(found[3])))
    if packer.version < (1, 6, 6):
        raise ToolError(f"{program} is Packer {packer.text}; 1.6.6 or later is needed", _HOW_TO_GET)
    return packer


@dataclass(frozen=True, kw_only=True)
class Said:
    """A line of `-machine-readable` output: `timestamp,target,kind,data...`.

    Source: https://developer.hashicorp.com/packer/docs/commands#machine-readable-output
    """

    target: str
    kind: str
    words: tuple[str, ...]


def parse_line(line: str) -> Said | None:
    """What a line says; None where it is none of these."""
    parts = line.rstrip("\n").split(",")
    if len(parts) < 3 or not parts[0].isdigit():
        return None
    words = tuple(p.replace("%!(PACKER_COMMA)", ",").replace("\\r", "\r").replace("\\n", "\n") for p in parts[3:])
    return Said(target=parts[1], kind=parts[2], words=words)


def build_command(packer: Packer, folder: Path, *, single: str, variables: Path, only: str) -> list[str]:
    """The command for one source, run in `folder`; `single` is the one file that Packer 1.6 takes, relative to it."""
    what = "." if packer.modern else single
    return [packer.path, "build", "-machine-readable", f"-only={only}", f"-var-file={variables}", what]
