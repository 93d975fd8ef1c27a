"""What a target is: what cannot be proved in a container or an unpacked root must not pass there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal["kernel", "boot", "cluster"]

# systemd names itself so, whatever link it was started by.
RUNS_SYSTEMD = "grep -qxE 'systemd|init' /proc/1/comm 2>/dev/null"
# One command for all questions. /proc/2 is the kernel's own thread wherever the process ids are the machine's; in a
# chroot that has a /proc, the root of process 1 is another folder (as systemd-detect-virt(1) tells a chroot).
LOOK_AROUND = (
    'if [ -e /proc/1/comm ]; then echo "proc yes"; fi;'
    ' if [ / -ef /proc/1/root/ ]; then echo "init-root same";'
    ' elif [ -e /proc/1/root/ ]; then echo "init-root other"; fi; second="";'
    ' { read -r second </proc/2/comm; } 2>/dev/null; echo "second $second";'
    # A root can hold that folder without systemd.
    f" if [ -d /run/systemd/system ] && {RUNS_SYSTEMD}; then echo systemd yes; fi;"
    ' if [ -r /run/systemd/container ]; then echo "container $(head -n 1 /run/systemd/container)"; fi;'
    " if [ -e /run/.containerenv ]; then echo container podman; fi;"
    " if [ -e /.dockerenv ]; then echo container docker; fi;"
    # Beside the kernel's own threads, process 1 is the machine's, and says nothing of a container.
    ' [ "$second" = kthreadd ] ||'
    " tr '\\000' '\\n' </proc/1/environ 2>/dev/null | sed -n 's/^container=/container /p'; true"
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a target is.

    Attributes:
        chroot: A folder, or a root without a running system.
        container: Its kind, such as `podman`; empty where the target has a kernel of its own.
        systemd: systemd runs as its init.
    """

    chroot: bool = False
    container: str = ""
    systemd: bool = False

    def lacks(self, need: Need) -> str:
        """Why a check with this need proves nothing here; empty where it does."""
        if self.chroot:
            return {
                "kernel": "an unpacked root has no kernel of its own",
                "boot": "an unpacked root has not been booted",
                "cluster": "an unpacked root runs no kubelet",
            }[need]
        if need == "kernel" and self.container:
            return f"a container ({self.container}) borrows the kernel of its host"
        if need == "boot" and not self.systemd:
            where = f"in this container ({self.container})" if self.container else "here"
            return f"systemd does not run {where}"
        return ""


def parse_surroundings(text: str) -> Surroundings:
    """The answer to `LOOK_AROUND`. What does not answer at all counts as an unpacked root: it proves least."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        # systemd's own note comes first and is the most exact.
        said.setdefault(word, rest.strip())
    if "proc" not in said:
        return Surroundings(chroot=True)
    # The root of process 1 can be seen by root alone; without it, the target is taken for what it looks like.
    if said.get("init-root") == "other":
        return Surroundings(chroot=True)
    container = said.get("container", "")
    if not container and said.get("second") != "kthreadd":
        container = "of unknown kind"
    return Surroundings(container=container, systemd="systemd" in said)
