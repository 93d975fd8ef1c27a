"""Hosts over real ssh on the loopback: sshd lets root in with a key of its own, into an unpacked root.

It proves what the connection, the suite and the package manager do. Such a host has no kernel of its own and nothing is
booted in it, and the processor that answers is the one that asks. Its login shell reads no file of this machine's root,
whose `.bashrc` may do anything and take any time.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amigen.vm.ssh import new_key
from tests.ports import free_port

# sshd(8) listens on at most so many addresses.
_PER_DAEMON = 16
_CONFIG = """\
Port {port}
{addresses}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/id_ed25519.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
MaxStartups 500
MaxSessions 500
PerSourceMaxStartups none
ForceCommand exec /usr/sbin/chroot {root} /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
# A shell that sshd starts reads .bashrc even where it is not interactive (bash(1), INVOCATION).
_EMPTY_HOME = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o mode=0700 none ~root && exec "$@"', "sh")


@dataclass(frozen=True, kw_only=True)
class SshHosts:
    """Hosts that are there.

    Attributes:
        targets: As `amigen verify` takes them; each is another address.
        key: The key that lets root in.
        known_hosts: The file that names their host key.
    """

    targets: tuple[str, ...]
    key: Path
    known_hosts: Path

    @property
    def options(self) -> tuple[str, ...]:
        """What ssh has to be told: `Name=value`."""
        return (f"UserKnownHostsFile={self.known_hosts}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")

    @property
    def arguments(self) -> list[str]:
        """The same for ssh itself."""
        return ["-F", "none", "-i", str(self.key), *(word for option in self.options for word in ("-o", option))]


@contextmanager
def ssh_hosts(root: Path, count: int = 1) -> Iterator[SshHosts]:
    """So many hosts with the content of this root, which belongs to root."""
    addresses = [f"127.0.7.{number}" for number in range(1, count + 1)]
    port = free_port()
    daemons: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="amigen-ssh-") as name:
        folder = Path(name)
        key = new_key(folder)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")]
        subprocess.run(command, check=True)
        public = (folder / "host_key.pub").read_text()
        known = folder / "known_hosts"
        known.write_text("".join(f"[{address}]:{port} {public}" for address in addresses))
        # sshd wants its folder, and to be called by its whole name.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
        assert sshd, "openssh-server is not installed"
        try:
            for start in range(0, count, _PER_DAEMON):
                mine = addresses[start : start + _PER_DAEMON]
                config = folder / f"config-{start}"
                listen = "\n".join(f"ListenAddress {address}" for address in mine)
                config.write_text(_CONFIG.format(port=port, addresses=listen, folder=folder, root=root))
                command = [*_EMPTY_HOME, sshd, "-D", "-f", str(config), "-E", str(folder / f"log-{start}")]
                daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            for address in addresses:
                _wait(address, port)
            targets = tuple(f"ssh://root@{address}:{port}" for address in addresses)
            yield SshHosts(targets=targets, key=key, known_hosts=known)
        finally:
            for daemon in daemons:
                daemon.kill()
                daemon.wait()


def _wait(address: str, port: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"no sshd at {address}:{port}")
