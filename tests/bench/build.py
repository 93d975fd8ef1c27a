"""A local build against a Packer build that a person wrote by hand, from the same base.

Ours ends with an image that was booted and proved; the other with an image of which nobody knows. So it is also set
against the other and the boots of the proof by hand, in which the modules are looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from amigen.vm import Machine, VmImage, built_in_base, scratch
from amigen.vm.acceleration import probe, qemu_program
from amigen.vm.bases import Base
from amigen.vm.qemu import boot_arguments
from amigen.vm.seed import make_seed
from amigen.vm.ssh import new_key
from tests.bench.node import BARE, MODULES
from tests.bench.row import Row

RUNS = 2
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: bench
kubernetesVersion: "1.34"
platforms: [debian-12]
local: {bases: {debian-12: {mmdebstrap: true}}}
"""
HCL = """\
source "qemu" "image" {
  iso_url              = %(base)s
  iso_checksum         = "none"
  disk_image           = true
  format               = "qcow2"
  disk_size            = "8G"
  disk_cache           = "unsafe"
  output_directory     = %(output)s
  vm_name              = "disk.qcow2"
  qemu_binary          = %(program)s
  accelerator          = %(accelerator)s
  headless             = true
  memory               = 2048
  cpus                 = 2
  qemuargs             = %(arguments)s
  ssh_username         = %(user)s
  ssh_private_key_file = %(key)s
  ssh_timeout          = "30m"
  boot_wait            = "-1s"
  shutdown_command     = "sudo poweroff"
}

build {
  sources = ["source.qemu.image"]
  provisioner "shell" {
    execute_command = "sudo bash {{ .Path }}"
    script          = %(script)s
  }
}
"""


def rows() -> Iterator[Row]:
    """The whole of `amigen build --target local`, in turn with the other; the base is in the cache for both."""
    base = built_in_base("debian-12", "x86_64", log=_quiet)
    bare, booted = [], []
    for number in range(RUNS):
        # Every other pair begins with the other, whom the first one warms.
        if number % 2:
            (by_hand, boots), ours = _by_hand(base), _ours()
        else:
            ours, (by_hand, boots) = _ours(), _by_hand(base)
        bare.append(ours / by_hand)
        booted.append(ours / (by_hand + boots))
    yield Row(what="local build, proved / the same by hand, and the boots of the proof", values=tuple(booted), aim=1.25)
    yield Row(what="local build, proved / a hand-written Packer build, not proved", values=tuple(bare), aim=2)


def _ours() -> float:
    with tempfile.TemporaryDirectory(prefix="ab-") as name:
        return _seconds(partial(_amigen, Path(name)))


def _by_hand(base: Base) -> tuple[float, float]:
    """The build, and the boots afterwards."""
    with scratch("hand") as work:
        return _seconds(partial(_packer, work, base)), _seconds(partial(_boots, work, base))


def _amigen(folder: Path) -> None:
    (folder / "spec.yaml").write_text(SPEC)
    command = [sys.executable, "-m", "amigen", "build", str(folder / "spec.yaml"), "--target", "local"]
    _run([*command, "--output-folder", str(folder / "out")])


def _packer(work: Path, base: Base) -> None:
    key = new_key(work)
    seed = work / "seed.iso"
    make_seed(seed, key=key, instance_id="i-by-hand", hostname="localhost", user_data=b"#cloud-config\n{}\n")
    script = work / "provision.sh"
    script.write_text(f"{BARE}modprobe -a {MODULES} nf_conntrack\n")
    acceleration = probe("x86_64", base.image.kernel)
    boot = boot_arguments(base.image, acceleration)
    arguments = [
        ["-machine", "q35"],
        ["-accel", acceleration.accel],
        ["-cpu", acceleration.cpu],
        ["-drive", f"file={work / 'image/disk.qcow2'},format=qcow2,if=virtio,cache=unsafe,discard=unmap"],
        ["-drive", f"file={seed},format=raw,if=virtio,readonly=on"],
        *(boot[i : i + 2] for i in range(0, len(boot), 2)),
    ]
    values = {
        "base": str(base.image.disk),
        "output": str(work / "image"),
        "program": qemu_program("x86_64"),
        "accelerator": acceleration.name,
        "arguments": arguments,
        "user": base.user,
        "key": str(key),
        "script": str(script),
    }
    (work / "image.pkr.hcl").write_text(HCL % {name: json.dumps(value) for name, value in values.items()})
    # Packer keeps its cache in the current folder.
    _run(["packer", "build", str(work)], cwd=work)


def _boots(work: Path, base: Base) -> None:
    """Boot what Packer wrote as often as a proof does, two nodes at once: one of them boots again."""
    for file in (base.image.kernel, base.image.initrd):
        if file is not None:
            (work / "image" / f"disk{file.suffix}").symlink_to(file)
    with ThreadPoolExecutor() as pool:
        nodes = [pool.submit(_node, work, base, reboot=reboot) for reboot in (True, False)]
    for node in nodes:
        node.result()


def _node(work: Path, base: Base, *, reboot: bool) -> None:
    """Boot, and look whether the modules are loaded."""
    image = VmImage.at(work / "image/disk.qcow2")
    with scratch("look") as own, Machine(image, work=own, user=base.user) as machine:
        machine.wait_for_ssh()
        machine.ssh.wait_until_booted()
        if reboot:
            machine.reboot()
            machine.ssh.wait_until_booted()
        done = machine.run("lsmod | grep -c '^ip_vs'", timeout=60)
        assert int(done.stdout) >= len(MODULES.split()), done.stdout + done.stderr


def _seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def _quiet(_line: str) -> None:
    pass
