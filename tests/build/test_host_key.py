"""Nobody on the way can answer for the builder: real ssh and sshd; only the console output is written by the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from amigen.aws.errors import CallError
from amigen.base.errors import BuildError
from amigen.build.host_key import bastion_command, host_keys, require_builder, write_known_hosts
from amigen.spec.model import Bastion
from amigen.vm.ssh import HOST_KEY_NAME, SshTarget, new_key
from tests.ports import free_port

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin") or ""
needs_sshd = pytest.mark.skipif(not SSHD or os.getuid() != 0, reason="not proven here: needs sshd, as root")
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICljv3VQKmBTmjtTB4KBLJwUN92lvyqUuOsJqO1lnnF2"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC" + "x" * 170


def console(*keys: str) -> str:
    """As cloud-init's write-ssh-key-fingerprints writes it, between other lines."""
    block = "\r\n".join(("-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----"))
    return (
        "[    9.1] kernel: words\r\n<14>Nov 29 10:00:00 ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n"
        f"<14>Nov 29 10:00:00 ec2: 256 SHA256:x root@ip (ED25519)\r\n{block}\r\n[   10.0] cloud-init[1]: finished\r\n"
    )


@dataclass
class Console:
    """AWS, as far as it has this console; `nitro` instances alone have the latest output."""

    outputs: list[str]
    nitro: bool = True
    asked: int = 0

    def call(self, call: Any, _region: str, _what: str, **params: Any) -> dict[str, str]:
        if params.get("Latest") and not self.nitro:
            raise CallError("no", "", code="UnsupportedOperation", call=call)
        self.asked += 1
        return {"Output": self.outputs[min(self.asked, len(self.outputs)) - 1]}


def known(aws: Any, folder: Path) -> str:
    write_known_hosts(aws, "us-east-1", "i-1", folder / "known_hosts")
    return (folder / "known_hosts").read_text()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amigen.build.host_key._POLL_SECONDS", 0.0)


@pytest.mark.parametrize("nitro", [True, False])
def test_the_console_says_the_keys_some_time_after_the_start(nitro: bool, tmp_path: Path) -> None:
    aws = Console(["", "booting", console(f"{ED25519} root@ip")], nitro)

    assert known(aws, tmp_path) == f"{HOST_KEY_NAME} {ED25519}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ED25519,
        console(),
        console(ED25519).replace("END SSH HOST KEY KEYS", ""),
        console(f"{ED25519[:40]}[   9.9] systemd[1]: words\n{ED25519[40:]}"),
        console(f"{ED25519[:-8]}"),
        console(RSA),
    ],
    ids=["empty", "outside", "no key", "not ended", "cut by a line", "cut at its end", "no key of its type"],
)
def test_what_is_no_whole_key_is_none(text: str) -> None:
    assert host_keys(text) == []


def test_the_last_boot_counts() -> None:
    other = ED25519.replace("ICljv", "ICljw")

    assert host_keys(console(other) + console(ED25519)) == [ED25519]


def test_a_console_without_keys_is_an_error_with_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amigen.build.host_key._SECONDS", 0)

    with pytest.raises(BuildError, match="console output of builder i-1 shows no ssh host key") as error:
        known(Console(["booting"]), tmp_path)

    assert "session-manager" in error.value.hint
    assert "acceptAnyHostKey" in error.value.hint


@contextmanager
def server(folder: Path, authorized: Path, address: str = "127.0.0.1") -> Iterator[tuple[int, str]]:
    """A real sshd: its port and its host key."""
    folder.mkdir()
    key, port = new_key(folder), free_port()
    authorized = Path(shutil.copy(authorized, folder / "authorized"))
    Path("/run/sshd").mkdir(exist_ok=True)
    options = (f"AuthorizedKeysFile={authorized}", "StrictModes=no", "UsePAM=no", "PidFile=none", "PermitRootLogin=yes")
    host = f"[{address}]" if ":" in address else address
    command = [SSHD, "-D", "-e", "-f", "/dev/null", "-h", str(key), *(f"-o{each}" for each in options)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"-oListenAddress={host}:{port}"], stderr=log)
    try:
        deadline = time.monotonic() + 300
        while b"listening" not in (folder / "log").read_bytes():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield port, key.with_suffix(".pub").read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def target(folder: Path) -> SshTarget:
    """Without a port yet; short paths, as sockets lie there."""
    key = new_key(folder)
    return SshTarget(host="127.0.0.1", port=0, user="root", key=key, control=folder, known_hosts=folder / "known_hosts")


@needs_sshd
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_builder_is_known(address: str, target: SshTarget, folder: Path) -> None:
    with server(folder / "s", target.key.with_suffix(".pub"), address) as (port, key):
        known(Console([console(key)]), folder)
        found = replace(target, host=address, port=port)
        require_builder(found, "i-1")
        found.disconnect()


@needs_sshd
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("why", ["another machine answers", "Packer's key is on another machine"])
def test_another_machine_is_refused(why: str, target: SshTarget, folder: Path) -> None:
    """Whoever answers has not the builder's key, or the builder has not ours: Packer was answered by another one."""
    (folder / "other").mkdir()
    other = new_key(folder / "other")
    authorized = (target.key if why.startswith("another") else other).with_suffix(".pub")
    with server(folder / "s", authorized) as (port, key):
        shown = other.with_suffix(".pub").read_text() if why.startswith("another") else key
        known(Console([console(shown)]), folder)
        found = replace(target, port=port)
        with pytest.raises(BuildError, match=r"127.0.0.1 is not builder i-1, or Packer was connected") as error:
            require_builder(found, "i-1")

    assert ("verification failed" if why.startswith("another") else "Permission denied") in error.value.message
    assert "session-manager" in error.value.hint


@needs_sshd
@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("known_bastion", [True, False])
def test_through_a_bastion(known_bastion: bool, target: SshTarget, folder: Path) -> None:
    """Its host key is one that the user knows; the builder is known by its own."""
    (folder / "a $(b)").mkdir()
    key = new_key(folder / "a $(b)")
    with (
        server(folder / "s", target.key.with_suffix(".pub")) as (port, host_key),
        server(folder / "b", key.with_suffix(".pub")) as (bastion_port, bastion_key),
    ):
        known(Console([console(host_key)]), folder)
        command = bastion_command(Bastion(host="127.0.0.1", port=bastion_port, user="root"), str(key))
        # The user's file, which ssh finds by the password database and not by HOME.
        hosts = folder / "user_known_hosts"
        hosts.write_text(f"[127.0.0.1]:{bastion_port} {bastion_key}" if known_bastion else "")
        command = command.replace("ssh ", f"ssh -F none -oUserKnownHostsFile={hosts} ", 1)
        found = replace(target, port=port, proxy=command)
        if known_bastion:
            require_builder(found, "i-1")
            found.disconnect()
        else:
            with pytest.raises(BuildError, match="builder i-1: no ssh connection"):
                require_builder(found, "i-1")
        logins = (folder / "b/log").read_text().count("Accepted publickey")
    assert logins == int(known_bastion)
