"""One virtual machine: booted from an image that it never changes, reached by ssh, and always gone in the end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from amigen.base.errors import ToolError
from amigen.base.files import read_tail
from amigen.base.waiting import attempts
from amigen.vm.acceleration import Acceleration, probe
from amigen.vm.image import VmImage, make_overlay
from amigen.vm.qemu import not_started, qemu_command, start_qemu
from amigen.vm.seed import make_seed
from amigen.vm.ssh import Completed, SshTarget, new_key

# An emulated processor on a busy machine takes minutes where a real one takes seconds.
SSH_SECONDS = 600.0
OFF_SECONDS = 180.0
MEMORY_MIB = 2048
_CONSOLE_LINES = 25
# The last words of SeaBIOS, and of UEFI.
_NOTHING_TO_BOOT = re.compile(r"No bootable (device|option or device was found)\.")
# What cloud-init says when it has done all of the first boot.
_CLOUD_INIT_ENDED = re.compile(r"Cloud-init v\. \S+ finished at")


class Machine:
    """A VM on a throw-away overlay of an image, with a NoCloud seed and a temporary ed25519 key.

    Use it as a context manager, from a thread that lives as long as the machine: QEMU is killed when the thread that
    started it ends, which is what keeps it from outliving a killed process (prctl(2), PR_SET_PDEATHSIG).

    Args:
        image: What to boot; stays unchanged.
        work: A folder of the caller's for overlay, seed, key and console log; private, removed by the caller
            (see `amigen.vm.scratch`). Its path is at most 80 bytes long, for the sockets in it.
        user: Whom cloud-init lets in with the key: the image's default user, or `root`.
        user_data: The user data document; empty: none.
        instance_id: cloud-init runs user data once per id. A new id is a new node.
        disk_gib: Grow the disk to this.
        ssh_port: Forwarded port on 127.0.0.1; None: a free one.
        log: Receives one line for each thing that takes time.
    """

    def __init__(
        self,
        image: VmImage,
        *,
        work: Path,
        user: str,
        user_data: bytes = b"",
        instance_id: str | None = None,
        hostname: str = "amigen-vm",
        memory_mib: int = MEMORY_MIB,
        disk_gib: int | None = None,
        ssh_port: int | None = None,
        acceleration: Acceleration | None = None,
        key: Path | None = None,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.image, self.work, self.log = image, work, log
        self.overlay = work / "disk.qcow2"
        self.console = work / "console.log"
        self._reserved = reserved_port(ssh_port or 0)
        self.port: int = self._reserved.getsockname()[1]
        self.key = key or new_key(work)
        self.ssh = SshTarget(host="127.0.0.1", port=self.port, user=user, key=self.key, control=work)
        make_overlay(image, self.overlay, size_gib=disk_gib)
        make_seed(
            work / "seed.iso",
            key=self.key,
            instance_id=instance_id or f"i-{uuid.uuid4().hex[:17]}",
            hostname=hostname,
            user_data=user_data,
            user=user,
        )
        self._acceleration = acceleration or probe(image.architecture, image.kernel)
        self.command = qemu_command(
            image, work, memory_mib=memory_mib, acceleration=self._acceleration, ssh_port=self.port
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        """Whether QEMU runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start QEMU."""
        self.log(f"start a VM of {self.image.disk.name} ({self._acceleration.name})")
        self._process = start_qemu(self.command, self.work)

    def wait_for_ssh(self, timeout: float = SSH_SECONDS) -> None:
        """Wait until a command runs over ssh.

        Raises:
            ToolError: QEMU ended, the user is not let in, or no ssh within `timeout` seconds; holds the console's last
                lines.
        """
        answer = "port closed"
        for _ in attempts(seconds=timeout, every=0.3):
            if self._process is not None and (self._process.poll() or 0) > 0:
                raise not_started(self.work)
            if not self.running:
                raise ToolError(f"the VM was powered off during boot\n{self.console_tail()}")
            if _NOTHING_TO_BOOT.search(self.console_tail()):
                raise ToolError(f"the disk of the VM is not bootable\n{self.console_tail()}")
            if not _answers(self.port):
                continue
            try:
                done = self.ssh.run("true", timeout=60)
                if done.returncode == 0:
                    return
                answer = done.stderr or answer
            except ToolError as error:
                answer = error.message
            if "Permission denied" in answer and _CLOUD_INIT_ENDED.search(self.console_tail()):
                raise ToolError(
                    f"the VM lets nobody in as {self.ssh.user}, and cloud-init has ended",
                    "does the image have this user? name another one with --user",
                )
        raise ToolError(f"no ssh to the VM within {timeout:.0f} s ({answer})\n{self.console_tail()}")

    def run(self, command: str | Sequence[str], *, timeout: float = 300, stdin: str | None = None) -> Completed:
        """Run a command over ssh; see `SshTarget.run`."""
        return self.ssh.run(command, timeout=timeout, stdin=stdin)

    def reboot(self, timeout: float = SSH_SECONDS) -> None:
        """Reboot: the guest shuts down, and a new QEMU starts (three times as fast as a reboot inside QEMU)."""
        prefix = "" if self.ssh.user == "root" else "sudo -n "
        # The guest may end the connection before the command does.
        with suppress(ToolError):
            self.ssh.run(f"{prefix}systemctl reboot --no-block", timeout=60)
        self.ssh.disconnect()
        assert self._process is not None
        try:
            self._process.wait(OFF_SECONDS)
        except subprocess.TimeoutExpired:
            tail = self.console_tail()
            self.kill()
            raise ToolError(f"the VM did not shut down within {OFF_SECONDS:.0f} s\n{tail}") from None
        self.start()
        self.wait_for_ssh(timeout)

    def kill(self) -> None:
        """Pull the plug; nothing of QEMU is left."""
        if self._process is not None and self._process.poll() is None:
            self.ssh.disconnect()
            self._process.send_signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._reserved.close()

    def console_tail(self) -> str:
        """The last lines of the serial console, for error messages."""
        try:
            text = read_tail(self.console, 65536)
        except OSError:
            return "(no console)"
        kept = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()][-_CONSOLE_LINES:]
        return "\n".join(f"  console: {line}" for line in kept) or "  (the console is empty)"


def reserved_port(port: int = 0) -> socket.socket:
    """A socket on this TCP port of 127.0.0.1 (default: a free one), which keeps it: as long as the socket is open, no
    other program gets the port by chance, and one that sets SO_REUSEADDR, such as QEMU and sshd, may listen on it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", port))
    return reserved


def _answers(port: int) -> bool:
    """QEMU takes a forwarded connection before the guest listens: only sshd's greeting counts."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
