"""A bare root to run a rendered script in: this machine's programs, read-only, and an /etc, /var and /run of its own.

Nothing is stubbed. Without packages in the plan no package manager is called, and AMIGEN_NO_KERNEL keeps the run from a
kernel that belongs to somebody else. What the script wrote is all that is in the folder afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amigen.platforms import PLATFORMS
from amigen.spec.values import Platform

_ACCOUNTS = "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/bin/sh\n"
_GROUPS = "root:x:0:\ndaemon:x:1:\n"
_APART = ("unshare", "--mount", "--pid", "--fork", "--ipc", "--net", "--propagation", "private")
# The mounts are seen by the script alone: they are of its own mount namespace, and gone with it.
_RUN = """
set -e
cd "$1"
for path in usr bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$path" ]; then [ -e "$path" ] || ln -s "$(readlink "/$path")" "$path"
  elif [ -d "/$path" ]; then mkdir -p "$path"; mount --rbind "/$path" "$path"; mount -o remount,bind,ro "$path"; fi
done
mount --bind usr-local usr/local
[ ! -d usr/lib/modules ] || mount -t tmpfs tmpfs usr/lib/modules
mount -t proc proc proc
mount -t tmpfs tmpfs dev
for device in null zero urandom; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
ln -s /proc/self/fd dev/fd
# On Debian, awk is a link into it.
[ ! -d /etc/alternatives ] || { mkdir -p etc/alternatives && mount --bind /etc/alternatives etc/alternatives; }
exec chroot . /usr/bin/env -i AMIGEN_NO_KERNEL=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin bash /run/script.sh
"""


class BareRoot:
    """The folder, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script as user data is run: root, no terminal, next to no environment."""
        (self.folder / "run/script.sh").write_text(script)
        return subprocess.run(
            [*_APART, "sh", "-c", _RUN, "sh", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=1200,
            check=False,
        )

    def files(self) -> dict[str, Path]:
        """Everything but folders, by its path in the root."""
        found = (Path(here) / name for here, _, names in os.walk(self.folder) for name in names)
        return {f"/{f.relative_to(self.folder).as_posix()}".replace("/usr-local/", "/usr/local/", 1): f for f in found}


@contextmanager
def bare_root(platform: Platform) -> Iterator[BareRoot]:
    """A fresh root that calls itself this platform."""
    if os.geteuid() != 0:
        pytest.skip("needs root: another root cannot be entered")
    # In memory where there is room: the script waits for the disk at each file.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30
    folder = Path(tempfile.mkdtemp(prefix="amigen-bare-", dir=memory if roomy else None))
    try:
        for name in ("etc", "proc", "dev", "run", "tmp", "root", "var/lib", "usr-local", "etc/eks"):
            (folder / name).mkdir(parents=True)
        fact = PLATFORMS[platform]
        (folder / "etc/os-release").write_text(f'ID="{fact.os_id}"\nVERSION_ID="{fact.os_version}"\n')
        (folder / "etc/passwd").write_text(_ACCOUNTS)
        (folder / "etc/group").write_text(_GROUPS)
        # Stands in for the program of the EKS images of Ubuntu: it keeps its arguments, and joins nothing.
        join = folder / "etc/eks/bootstrap.sh"
        join.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" >/run/joined-with\n")
        join.chmod(0o755)
        yield BareRoot(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
