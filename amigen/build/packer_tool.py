"""The Packer of this machine: which one, how it is called, and what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amigen.base.errors import ToolError
from amigen.base.processes import EndlessOutputError, run_capped

_INSTALL = "install Packer: https://developer.hashicorp.com/packer/install"
_INSTALL_ANY = f"{_INSTALL} (for --target local Debian's 1.6.6 is enough: apt-get install packer)"
# Packer 1.6 cannot require IMDSv2 of the builder and of the AMI, and has no data source for SSM parameters.
_OLDEST = {"local": (1, 6, 6), "aws": (1, 7, 0)}


@dataclass(frozen=True, kw_only=True)
class Packer:
    """A Packer, with its version as numbers."""

    path: str
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """`1.6.6`."""
        return ".".join(map(str, self.version))

    @property
    def modern(self) -> bool:
        """True for 1.7 and later: `packer init` installs plugins, and a folder is built."""
        return self.version >= (1, 7, 0)


def find_packer(path: str | None = None, *, target: Literal["local", "aws"]) -> Packer:
    """Find the Packer at `path`, or the one in PATH, for a build of `target`.

    Raises:
        ToolError: It is not installed, is another program of that name, or is too old.
    """
    hint = _INSTALL_ANY if target == "local" else _INSTALL
    program = path or shutil.which("packer")
    if program is None:
        raise ToolError("Packer is not installed", hint)
    try:
        said = run_capped(
            [program, "version"],
            timeout=60,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "CHECKPOINT_DISABLE": "1", "HOME": "/nonexistent"},
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired, EndlessOutputError) as error:
        raise ToolError(f"cannot run {program}: {error}", hint) from None
    found = re.search(r"Packer v(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        # Fedora and Amazon Linux have another /usr/sbin/packer, of cracklib.
        raise ToolError(f"{program} is not HashiCorp's Packer", hint)
    packer = Packer(path=program, version=(int(found[1]), int(found[2]), int(found[3])))
    oldest = _OLDEST[target]
    if packer.version < oldest:
        needed = ".".join(map(str, oldest))
        raise ToolError(f"{program} is Packer {packer.text}; --target {target} needs {needed} or later", hint)
    return packer


def parse_line(line: str) -> tuple[str, list[str]]:
    """Kind and data of a line of `-machine-readable` output; an empty kind for any other line.

    Source: https://developer.hashicorp.com/packer/docs/commands#machine-readable-output
    """
    moment, *rest = line.rstrip("\n").split(",")
    if not moment.isdigit() or len(rest) < 2:
        return "", []
    _target, kind, *data = rest
    return kind, [p.replace("%!(PACKER_COMMA)", ",").replace("\\r", "\r").replace("\\n", "\n") for p in data]


def build_command(packer: Packer, *, variables: Path, only: str) -> list[str]:
    """The command for one source, run in the folder of its files.

    Packer 1.6 has its builders inside and refuses the file that names plugins, so it is given the other one alone.
    """
    what = "." if packer.modern else "image.pkr.hcl"
    return [packer.path, "build", "-machine-readable", f"-only={only}", f"-var-file={variables}", what]
