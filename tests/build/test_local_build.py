"""A local image, for real: Packer, QEMU, cloud-init, the package manager, the checks."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from amigen.spec.load import load_spec, spec_digest
from tests.build.local_builds import (
    APT,
    DNF,
    LIGHT,
    build,
    command,
    left_in,
    processes,
    proven,
    read_until,
    until,
)
from tests.build.processes import started
from tests.real.build import pinned
from tests.real.packer import packer_environment
from tests.testbed.dnf_standin import dnf_standin

pytestmark = pytest.mark.slow


def test_ended_builds_leave_nothing_and_the_next_one_works(folder: Path) -> None:
    """Ended while the builder's VM boots, and while it verifies; what SIGKILL leaves is what the next build removes."""
    words, given = command(folder, LIGHT)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        with started(words, **given) as process:
            until(lambda: bool(processes(folder, "qemu-system")), process)
            process.send_signal(number)
            said, _ = process.communicate(timeout=300)
            assert process.returncode == code, said
        until(lambda: not processes(folder))
        assert not (folder / "amigen-build/light/debian-12-x86_64").exists()
        assert bool(left_in(folder)) == (number == signal.SIGKILL)
    ended_while_it_verifies(folder)
    two_at_once(folder)


def ended_while_it_verifies(folder: Path) -> None:
    """The VM of the verification goes with the build."""
    words, given = command(folder, LIGHT)
    with started(words, **given) as process:
        read_until(process, "boot the image")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    until(lambda: not processes(folder))
    assert left_in(folder) == []
    assert not (folder / "amigen-build/light/debian-12-x86_64").exists()


def two_at_once(folder: Path) -> None:
    """Of two specs of one name, to one place: both end well, each is proven, and what stands there is whole.

    One of them is what amigen is for: IPVS by apt.
    """
    light, given = command(folder, LIGHT)
    ipvs, _ = command(folder, APT.replace("name: apt", "name: light"), "ipvs.yaml")
    with started(light, **given) as one, started(ipvs, **given) as other:
        for process in (one, other):
            said, _ = process.communicate(timeout=3600)
            assert process.returncode == 0, said
            assert "Packer 1.6.6" in said
            assert "processor: " in said
    place = folder / "amigen-build/light"
    found = {path: json.loads(path.read_text()) for path in (place / "builds").glob("*/record.json")}
    records = {r["specDigest"]: path for path, r in found.items() if r["images"][0]["outcome"] == "built"}
    for spec, packages in (("spec.yaml", ()), ("ipvs.yaml", ("ipvsadm",))):
        record = records[spec_digest(load_spec(folder / spec))]
        proven(folder, "light", "debian-12", *packages, record=record)
    assert json.loads((place / "local.json").read_text())["specDigest"] in records
    assert [path.name for path in place.glob(".*")] == []


def test_the_dnf_stand_in(folder: Path) -> None:
    done = build(folder, DNF % (dnf_standin() / "disk.qcow2"))
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "dnf", "al2023", "ipvsadm")


def test_todays_packer(folder: Path) -> None:
    """The real qemu plugin, and a Packer that takes the rendered folder as it is."""
    done = build(folder, LIGHT, packer_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "light", "debian-12")
    record = json.loads((folder / "amigen-build/light/local.json").read_text())
    assert record["packerVersion"] == pinned("packer", "github.com/hashicorp/packer").removeprefix("v")


def test_debian_13(folder: Path) -> None:
    """Kernel 6.12, systemd 257, apt 3 and cloud-init 25: the nearest to Ubuntu 26.04 that can be built here."""
    done = build(folder, APT.replace("name: apt", "name: trixie").replace("debian-12", "debian-13"))
    assert done.returncode == 0, done.stdout + done.stderr
    proven(folder, "trixie", "debian-13", "ipvsadm")


def test_a_failing_check_leaves_no_image(folder: Path) -> None:
    """A hook breaks what an earlier step made: the one check that sees it is named."""
    hook = "hooks: {after: [{name: break, script: 'echo ip_vs >/etc/modules-load.d/amigen.conf'}]}\n"
    done = build(folder, LIGHT + hook)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "test_module_persisted[nf_conntrack]" in done.stderr
    assert "expected" in done.stderr
    assert not (folder / "amigen-build/light/debian-12-x86_64").exists()
    assert left_in(folder) == []
    [record] = (folder / "amigen-build/light/builds").glob("*/record.json")
    [image] = json.loads(record.read_text())["images"]
    assert (image["outcome"], image["verified"]) == ("failed", False)
