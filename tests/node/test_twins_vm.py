"""Two copies of one image are booted and compared: a random value that is the same on both makes the nodes twins.

It finds what no list of hygiene names. A value that the base image has already is not the build's; one that the spec
gives (digests) is no secret. It proves the files of Debian 12, and nothing of what a kubelet or an agent makes later.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from amigen.vm import Machine, VmImage, built_in_base, scratch
from tests.testbed.guest import wait_for_cloud_init
from tests.verify.images import SPEC, built_image, proof_plan

pytestmark = [pytest.mark.slow, pytest.mark.long]

# A hook that makes what the hygiene step cannot know of.
HOOK = """\
    - name: identity
      script: od -An -tx1 -N16 /dev/urandom | tr -d ' \\n' >/etc/app-id
"""
# Of packages, and the same wherever they are installed.
BESIDES = "var/lib/dpkg var/lib/apt var/cache etc/ssl/certs usr/share/ca-certificates var/lib/ucf var/lib/pam"
EXCLUDE = " ".join(f"--exclude={path}" for path in BESIDES.split())
GATHER = f"sudo tar -C / -cf - {EXCLUDE} --exclude='*.ko*' etc var root home"
# Long hexadecimal, UUIDs, base64: what keys, seeds and identities are written in.
RANDOM = re.compile(
    rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-fA-F]{16,}|(?=[A-Za-z0-9+/]*[0-9])(?=[A-Za-z0-9+/]*[A-Z])[A-Za-z0-9+/]{24,}={0,2}"
)


def values(machine: Machine, to: Path) -> dict[bytes, str]:
    """Random-looking value -> a file that has it; a small binary file is one itself."""
    assert machine.run(f"{GATHER} 2>/dev/null >/dev/shm/files.tar; test -s /dev/shm/files.tar").returncode == 0
    machine.ssh.copy_from("/dev/shm/files.tar", to)
    found: dict[bytes, str] = {}
    with tarfile.open(to) as files:
        for member in files:
            if not member.isfile() or member.size > 1 << 20:
                continue
            reader = files.extractfile(member)
            assert reader
            content = reader.read()
            found |= dict.fromkeys(RANDOM.findall(content), member.name)
            if 16 <= member.size <= 4096 and b"\0" in content:
                found[content] = member.name
    return found


def booted(image: VmImage, user: str, name: str) -> dict[bytes, str]:
    """The values of a machine that is ready after its first boot, as an instance of this name."""
    with scratch(name) as work, Machine(image, work=work, user=user, instance_id=name, log=print) as machine:
        machine.wait_for_ssh()
        wait_for_cloud_init(machine)
        return values(machine, work / "files.tar")


def test_no_two_nodes_share_a_value_of_the_builder(tmp_path: Path) -> None:
    """The value that a hook made is the only one found."""
    plan = proof_plan(tmp_path, SPEC + HOOK)
    base = built_in_base("debian-12", "x86_64", log=print)
    image = built_image(plan)
    first, second = (booted(image, base.user, name) for name in ("i-first", "i-second"))
    stock = booted(base.image, base.user, "i-stock")
    digests = {value.encode() for value in re.findall(r"[0-9a-f]{64}", repr(plan))} | {plan.digest.encode()}
    same = {value: first[value] for value in first.keys() & second.keys() - stock.keys() - digests}
    assert {path for path in same.values() if path != "etc/app-id"} == set(), same
    assert set(same.values()) == {"etc/app-id"}
