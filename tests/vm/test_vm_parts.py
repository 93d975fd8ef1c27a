"""The parts of virtual machines that need none: cache, scratch folders, package sources, the probe."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from amigen.base.errors import InputError, ToolError
from amigen.base.waiting import wait_until
from amigen.build.base import make_base
from amigen.platforms import PLATFORMS
from amigen.spec.model import Local, LocalBase, Mirror
from amigen.vm import acceleration, apt_sources, bases
from amigen.vm.acceleration import Acceleration
from amigen.vm.cache import cache_key, cached
from amigen.vm.download import UnreachableError, download
from amigen.vm.image import VmImage
from amigen.vm.machine import reserved_port
from amigen.vm.official import MIRROR
from amigen.vm.qemu import qemu_command
from amigen.vm.scratch import scratch, scratch_home, sweep
from tests.build.test_packer_files import plan_of

EMULATION = Acceleration(name="tcg", cpu="qemu64", accel="tcg,thread=multi", reason="a test")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/amigen"


def quiet(_line: str) -> None:
    pass


def make_one(folder: Path) -> None:
    (folder / "content").write_text("made")


def test_what_is_cached_is_made_once() -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        make_one(folder)

    first, second = (cached("bases", "k", make, log=quiet) for _ in range(2))
    assert first == second
    assert len(made) == 1
    assert (first / "content").read_text() == "made"


def test_what_fails_halfway_is_not_there(own_cache: Path) -> None:
    def make(folder: Path) -> None:
        make_one(folder)
        raise ToolError("no")

    with pytest.raises(ToolError):
        cached("bases", "k", make, log=quiet)
    assert [p.name for p in (own_cache / "bases").iterdir()] == ["k.lock"]


def test_a_key_is_made_of_all_inputs() -> None:
    keys = {cache_key("n", {"a": 1}), cache_key("n", {"a": 2}), cache_key("n", {"b": 1}), cache_key("m", {"a": 1})}
    assert len(keys) == 4
    assert cache_key("n", {"a": 1, "b": 2}) == cache_key("n", {"b": 2, "a": 1})


def _slow_make(folder: Path) -> None:
    with (folder.parent.parent / "made").open("a") as file:
        file.write("x")
    time.sleep(0.5)
    make_one(folder)


def _make_in_process(_number: int) -> str:
    return str(cached("bases", "k", _slow_make, log=quiet))


def test_two_processes_at_once_make_it_once(own_cache: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(set(pool.map(_make_in_process, range(3)))) == 1
    assert (own_cache / "bases/made").read_text() == "x"


def _make_for_ever(folder: Path) -> None:
    print(folder.parent, flush=True)
    time.sleep(600)


@pytest.mark.parametrize("killed", [True, False])
def test_what_a_killed_maker_left_in_the_cache_is_swept(own_cache: Path, killed: bool) -> None:
    """By the next one that makes anything; what another process makes now stays."""
    code = "from tests.vm.test_vm_parts import _make_for_ever, cached, quiet\n"
    code += "cached('bases', 'debian-1.2', _make_for_ever, log=quiet)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert left.is_dir()
        if killed:
            process.kill()
            process.wait()
        cached("bases", "other", make_one, log=quiet)
        assert left.is_dir() is not killed
        process.kill()


def test_a_scratch_folder_ends_with_its_block() -> None:
    with scratch("test") as folder:
        (folder / "x").write_text("x")
    assert not folder.exists()


def _fails_in_scratch(seen: list[Path]) -> None:
    with scratch("test") as folder:
        seen.append(folder)
        raise RuntimeError


def test_a_scratch_folder_ends_with_a_failure() -> None:
    seen: list[Path] = []
    with pytest.raises(RuntimeError):
        _fails_in_scratch(seen)
    assert not seen[0].exists()


@pytest.mark.slow
def test_what_a_killed_process_left_is_swept_and_nothing_else() -> None:
    """In a folder of its own: other tests sweep, too. With a short path, see `scratch_home`."""
    code = (
        "import sys, time\nfrom amigen.vm.scratch import scratch\n"
        "with scratch('test') as f:\n    print(f, flush=True)\n    time.sleep(600)"
    )
    with tempfile.TemporaryDirectory(prefix="a-", dir="/tmp") as home:
        env = {**os.environ, "TMPDIR": home}
        process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert Path(home) in left.parents
        sweep(left.parent)
        assert left.is_dir(), "its owner lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.is_dir(), "nobody was there to remove it"
        sweep(left.parent)
        assert not left.exists()


def test_a_download_is_taken_by_its_checksum(tmp_path: Path) -> None:
    source = tmp_path / "image"
    source.write_bytes(b"disk")
    with pytest.raises(InputError, match="wrong checksum"):
        download(source.as_uri(), "0" * 64, log=quiet)
    right = hashlib.sha256(b"disk").hexdigest()
    assert download(source.as_uri(), right, log=quiet).read_bytes() == b"disk"
    source.unlink()
    assert download(source.as_uri(), right, log=quiet).read_bytes() == b"disk", "the second time from the cache"


def test_a_download_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot download"):
        download((tmp_path / "none").as_uri(), "0" * 64, log=quiet)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server on the loopback with a small real qcow2, `disk.qcow2`."""
    folder = tmp_path / "web"
    folder.mkdir()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "disk.qcow2"), "1M"]
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    subprocess.run(create, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


def test_a_base_by_url(web: str, tmp_path: Path) -> None:
    """Taken with the right checksum alone, and then from the cache."""
    right = hashlib.sha256((tmp_path / "web/disk.qcow2").read_bytes()).hexdigest()
    said: list[str] = []

    def base(url: str, sha256: str) -> bases.Base:
        return base_of(LocalBase(url=url, sha256=sha256), tmp_path, said.append)

    with pytest.raises(InputError, match="wrong checksum") as caught:
        base(f"{web}/disk.qcow2", "0" * 64)
    assert right in caught.value.message
    with pytest.raises(InputError, match=r"cannot download .*none: File not found"):
        base(f"{web}/none", right)
    for _ in range(2):
        found = base(f"{web}/disk.qcow2", right)
        assert (found.image.format, found.digest, found.user) == (
            "qcow2",
            f"sha256:{right}",
            "ec2-user",
        )
    assert sum(line.startswith("download ") for line in said) == 3, "the last time from the cache"


def test_a_base_that_is_a_file(tmp_path: Path, web: str) -> None:
    """Relative to the spec, with its login user."""
    found = base_of(LocalBase(path="web/disk.qcow2", user="me"), tmp_path)
    assert (found.user, found.image.disk) == ("me", tmp_path / "web/disk.qcow2")


def test_a_base_that_is_no_image(tmp_path: Path) -> None:
    """QEMU takes any bytes as a raw disk; an empty file or a folder is none."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="there is no such image file"):
        base_of(LocalBase(path="folder"), tmp_path)


def base_of(named: LocalBase | None, folder: Path, log: Callable[[str], None] = quiet) -> bases.Base:
    plan = plan_of(local=Local(bases={"al2023": named} if named else {}))
    return make_base(plan, "x86_64", folder, log=log, fresh=False)


def unreachable(_image: object) -> NoReturn:
    raise UnreachableError("cannot download https://images.invalid/list: no such name", "set a proxy")


def test_a_closed_network_has_a_base_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing answers, mmdebstrap makes the base, which is said; with a mirror of one's own it is an error."""
    made = bases.Base(
        image=VmImage(disk=tmp_path / "disk", format="qcow2", architecture="x86_64"), user="me", says="a root"
    )
    monkeypatch.setattr("amigen.build.base.newest", unreachable)
    monkeypatch.setattr("amigen.build.base.built_in_base", lambda *_args, **_more: made)
    monkeypatch.delenv(MIRROR, raising=False)
    said: list[str] = []

    assert base_of(None, tmp_path, said.append) is made
    assert said == [
        "cannot download https://images.invalid/list: no such name; making a root by mmdebstrap in its place, as"
        " local.bases.al2023.mmdebstrap does"
    ]
    monkeypatch.setenv(MIRROR, "https://mirror.invalid")
    with pytest.raises(UnreachableError):
        base_of(None, tmp_path, said.append)


def test_without_mmdebstrap_the_first_error_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And why there is no other base is said."""

    def fails(*_args: object, **_more: object) -> NoReturn:
        raise ToolError("mmdebstrap needs root")

    monkeypatch.setattr("amigen.build.base.newest", unreachable)
    monkeypatch.setattr("amigen.build.base.built_in_base", fails)
    monkeypatch.delenv(MIRROR, raising=False)
    said: list[str] = []

    with pytest.raises(UnreachableError, match=r"images\.invalid"):
        base_of(None, tmp_path, said.append)
    assert said[-1] == "it cannot be made here: mmdebstrap needs root"


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.qcow2: there is no such image file"):
        base_of(LocalBase(path="none.qcow2"), tmp_path)


def test_no_built_in_base_for_dnf() -> None:
    with pytest.raises(ToolError, match="no built-in base for Amazon Linux 2023") as caught:
        bases.built_in_base("al2023", "x86_64", log=quiet)
    assert "local.bases.al2023" in caught.value.hint


def test_no_built_in_base_of_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "machine_architecture", lambda: "x86_64")
    monkeypatch.setattr(bases, "runs_programs_of", lambda _architecture: False)
    with pytest.raises(ToolError, match="not for arm64"):
        bases.built_in_base("debian-12", "arm64", log=quiet)


def test_a_release_that_this_machine_has_no_source_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_sources, "_output", lambda _command: "Release: bookworm\nRepo-URI: http://x/\n")
    with pytest.raises(ToolError, match=r"no source of Ubuntu 24\.04") as caught:
        apt_sources.sources_of_machine(PLATFORMS["ubuntu-24.04"])
    assert "packageSources.mirrors" in caught.value.hint


def test_the_sources_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    stanza = "Release: {}\nRepo-URI: http://mirror.test/{}/\nComponent: {}\nOrigin: Debian\nSourcesentry: /none:1\n"
    listed = "\n".join(
        stanza.format(*each)
        for each in (
            ("bookworm", "debian", "main"),
            ("bookworm", "debian", "contrib"),
            ("bookworm-security", "security", "main"),
            ("bookworm-backports", "debian", "main"),
            ("trixie", "debian", "main"),
        )
    )
    proxy = 'Acquire::http::Proxy "http://proxy.test:3128";\nAcquire::Languages "none";\n'
    monkeypatch.setattr(apt_sources, "_output", lambda command: proxy if "apt-config" in command[0] else listed)
    monkeypatch.setattr(apt_sources, "_signed_by", lambda _keyring: "")
    found = apt_sources.sources_of_machine(PLATFORMS["debian-12"])
    assert found.lines == (
        "deb http://mirror.test/debian/ bookworm contrib main",
        "deb http://mirror.test/security/ bookworm-security main",
    )
    assert found.options == ('Acquire::http::Proxy "http://proxy.test:3128"',)


def test_the_sources_of_another_release_of_the_machines_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """One archive holds all releases, so that Debian 13 is made on Debian 12; the machine's other sources stay out."""
    stanza = "Release: {}\nRepo-URI: http://mirror.test/{}/\nComponent: main\nSourcesentry: /none:1\n"
    suites = (("bookworm", "debian"), ("bookworm-updates", "debian"), ("bookworm-security", "security"))
    listed = "\n".join(stanza.format(*each) for each in (*suites, ("cloud-sdk-bookworm", "other")))
    monkeypatch.setattr(apt_sources, "_output", lambda command: "" if "apt-config" in command[0] else listed)
    monkeypatch.setattr(apt_sources, "_signed_by", lambda _keyring: "")
    machine = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: machine)

    assert apt_sources.sources_of_machine(PLATFORMS["debian-13"]).lines == (
        "deb http://mirror.test/debian/ trixie main",
        "deb http://mirror.test/debian/ trixie-updates main",
        "deb http://mirror.test/security/ trixie-security main",
    )
    with pytest.raises(ToolError, match="no source of Ubuntu"):
        apt_sources.sources_of_machine(PLATFORMS["ubuntu-24.04"])


def test_the_sources_of_a_mirror() -> None:
    mirror = Mirror(url="http://mirror.test/ubuntu", components=("main",))
    lines = apt_sources.sources_of_mirror(PLATFORMS["ubuntu-24.04"], mirror).lines
    assert [line.split("] ")[-1].removeprefix("deb ") for line in lines] == [
        "http://mirror.test/ubuntu noble main",
        "http://mirror.test/ubuntu noble-updates main",
        "http://mirror.test/ubuntu noble-security main",
    ]


def test_a_reserved_port_is_for_qemu_alone() -> None:
    """A program that takes any port, or asks for this one, does not get it; QEMU listens on it, and again."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        pytest.skip("not proven here: no qemu-system-x86_64")
    with reserved_port() as reserved:
        address = reserved.getsockname()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        for _ in range(2):
            forwarded = f"user,id=net,hostfwd=tcp:127.0.0.1:{address[1]}-:22"
            words = [qemu, "-M", "none", "-display", "none", "-nodefaults", "-netdev", forwarded]
            with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
                assert wait_until(lambda: listens(address), seconds=60, every=0.05), process.communicate()[1]
                process.kill()
            assert not listens(address)


def listens(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def qemu_that(tmp_path: Path, does: str) -> str:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'failed to set MSR' >&2; exit 134", "is there and fails (failed to set MSR)"),
        ("exit 0", "is there and fails (QEMU ended with 0)"),
        ("exit 85", None),
    ],
)
def test_kvm_is_taken_only_when_a_guest_has_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str | None
) -> None:
    """With a program that plays QEMU: each way it can end."""
    monkeypatch.setattr(acceleration, "machine_architecture", lambda: "x86_64")
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(Path, "exists", lambda _self: True)
    found = acceleration._kvm_problem("x86_64", qemu_that(tmp_path, does), None)
    assert found is None if said is None else said in str(found)


def test_that_a_guest_hangs_is_not_tried_at_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a day, of any kernel and of a disk with a boot loader; what works is tried each time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(acceleration, "machine_architecture", lambda: "x86_64")
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(acceleration, "_PROBE_SECONDS", 2.0)
    kernel = tmp_path / "kernel"
    # It answers as firmware, and hangs as a kernel.
    hangs = qemu_that(tmp_path, f"echo >>{tmp_path}/tried; case $* in *-kernel*) exec sleep 60 ;; esac; exit 85")

    def tried(kernel: Path | None) -> tuple[int, str]:
        (tmp_path / "tried").write_text("")
        said = acceleration._remembered_problem(hangs, kernel) or ""
        return len((tmp_path / "tried").read_text()), said

    assert tried(None) == (1, "")
    assert [tried(each)[0] for each in (kernel, kernel, None)] == [2, 0, 0]
    assert "a guest hung with it at 20" in tried(None)[1]
    (note,) = (tmp_path / "cache/amigen/kvm-hangs").iterdir()
    os.utime(note, (note.stat().st_mtime - 90_000,) * 2)
    assert tried(kernel)[0] == 2
    works = qemu_that(tmp_path, "case $* in *-kernel*) exit 0 ;; esac; exit 85")
    assert [acceleration._remembered_problem(works, kernel) for _ in range(2)] == [None, None]


def test_the_probe_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot remember, it tries again."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(acceleration, "cache_home", no_home)
    assert acceleration._remembered_problem(qemu_that(tmp_path, "exit 85"), None) is None


def test_a_comma_in_a_path_does_not_become_an_option(tmp_path: Path) -> None:
    given: dict[str, Any] = {"memory_mib": 512, "acceleration": EMULATION, "ssh_port": 2222}
    image = VmImage(disk=tmp_path / "d", format="raw")
    try:
        command = qemu_command(image, Path("/a,snapshot=on"), **given)
    except ToolError:
        pytest.skip("QEMU is not installed")
    drives = [word for word in command if word.startswith("file=")]
    assert all(drive.startswith("file=/a,,snapshot=on/") for drive in drives)


@pytest.mark.slow
def test_the_probe_leaves_nothing_even_when_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files lie where the next call of any process sweeps."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    program = qemu_that(tmp_path, f"for each; do case $each in *.bin) echo $each >{tmp_path}/said; esac; done; exit 85")
    assert acceleration.boot_problem(program, None) is None
    firmware = Path((tmp_path / "said").read_text().strip())
    assert firmware.parent.parent == scratch_home()
    assert not firmware.exists()
