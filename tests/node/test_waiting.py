"""What user data meets at a first boot: locks, a network that is not there yet or never comes, packages that hang.

Each run waits for a minute, so all of them wait side by side, each in a root of its own; a test looks at one of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.node.conftest import Node, fresh_node
from tests.node.test_faults import small_disk
from tests.ports import free_port
from tests.testbed.dnf_standin import REPOSITORY, make_rpm
from tests.testbed.roots import chroot

pytestmark = pytest.mark.slow

Fault = Callable[[Node], AbstractContextManager[None]]
APT, DNF = "ubuntu-24.04", "al2023"
LIMIT = 60
# What an earlier part of the run needs, and a package manager that has to be killed: 30 s after it was asked to end.
MORE = 60
# So many at once: a root is some hundred megabytes.
SIDE_BY_SIDE = 16


@contextmanager
def background(node: Node, *command: str, sign: str = "root/held") -> Iterator[None]:
    """A program in the root, from when it has made its sign; killed in the end with all that it started."""
    with subprocess.Popen(
        chroot(node.root, *command),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until = time.monotonic() + 300
            while not (node.root / sign).exists():
                assert process.poll() is None, f"{command} ended before it held its lock"
                assert time.monotonic() < until, f"{command} does not hold its lock"
                time.sleep(0.05)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def make_deb(node: Node, name: str, script: str, text: str) -> str:
    """A package with nothing but a script of its maintainer."""
    folder = node.root / "root" / name
    (folder / "DEBIAN").mkdir(parents=True)
    fields = {"Package": name, "Version": "1", "Architecture": "all", "Maintainer": "a <a@b.c>", "Description": "test"}
    (folder / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    (folder / "DEBIAN" / script).write_text(f"#!/bin/sh\n{text}\n")
    (folder / "DEBIAN" / script).chmod(0o755)
    node.run(f"dpkg-deb --build /root/{name} /root/{name}.deb")
    return f"/root/{name}.deb"


@contextmanager
def apt_installs(node: Node, seconds: int) -> Iterator[None]:
    """Another apt-get is in the middle of an installation: it and its dpkg hold their locks."""
    deb = make_deb(node, "slow", "preinst", f"touch /root/held; sleep {seconds}")
    with background(node, "apt-get", "-y", "install", deb):
        yield


@contextmanager
def apt_updates(node: Node, seconds: int) -> Iterator[None]:
    """Another apt-get fetches lists, as apt-daily does soon after a boot."""
    wait = f"APT::Update::Pre-Invoke::=touch /root/held; sleep {seconds}"
    with background(node, "apt-get", "-o", wait, "update"):
        yield


@contextmanager
def rpm_installs(node: Node, seconds: int, *program: str) -> Iterator[None]:
    """Another dnf, or an rpm alone, is in the middle of an installation."""
    work = node.root.parent / "rpm"
    # In rpm's own Lua: this package database knows no /bin/sh that a shell script would need.
    wait = f'io.open("/root/held", "w"):close() posix.sleep({seconds})'
    made = make_rpm(work, node.root / "root", name="slow", version="1", files=[], pre=wait)
    shutil.rmtree(work)
    with background(node, *program, f"/root/{made.name}"):
        yield


class Serve(SimpleHTTPRequestHandler):
    """A repository, without a line for each request."""

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path, port: int, after: float) -> Iterator[None]:
    """The folder on the port, some seconds from now."""
    servers: list[ThreadingHTTPServer] = []

    def start() -> None:
        servers.append(ThreadingHTTPServer(("127.0.0.1", port), partial(Serve, directory=str(folder))))
        servers[0].serve_forever()

    timer = threading.Timer(after, start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def silence(port: int) -> Iterator[None]:
    """Connections are taken, and nothing is ever answered."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(128)
        yield


@contextmanager
def from_network(node: Node, port: int, then: AbstractContextManager[None] | None = None) -> Iterator[None]:
    """The repository is at the port, and not in a folder."""
    lists = node.root / ("etc/yum.repos.d/amazonlinux.repo" if node.platform == DNF else "etc/apt/sources.list")
    before = lists.read_text()
    lists.write_text(before.replace(f"file:///{REPOSITORY}", f"http://127.0.0.1:{port}"))
    assert lists.read_text() != before
    with then or nullcontext():
        yield


def back_after(seconds: float) -> Fault:
    return lambda node: from_network(node, port := free_port(), serving(node.root / REPOSITORY, port, seconds))


def never_answers(node: Node) -> AbstractContextManager[None]:
    return from_network(node, port := free_port(), silence(port))


@contextmanager
def elsewhere(node: Node) -> Iterator[None]:
    """A mirror that only a proxy can reach."""
    (node.root / "etc/apt/sources.list").write_text("deb [trusted=yes] http://mirror.invalid/ ./\n")
    yield


@contextmanager
def hanging_program(node: Node) -> Iterator[None]:
    """A stand-in for the package manager that says half a line and hangs: proves the bound and the words only."""
    program = node.root / "usr/bin" / ("dnf" if node.platform == "al2023" else "apt-get")
    program.rename(program.with_suffix(".real"))
    program.write_text("#!/bin/sh\nprintf 'Reading package lists...'\nexec sleep 600\n")
    program.chmod(0o755)
    yield


@contextmanager
def hanging_package(node: Node) -> Iterator[None]:
    """A package that another run unpacked, whose script never ends: apt-get configures it together with ours."""
    node.run(f"dpkg --unpack {make_deb(node, 'hanging', 'postinst', 'exec sleep 600')}")
    yield


@contextmanager
def torn_packages(node: Node) -> Iterator[None]:
    """What dpkg records where a SIGKILL or power loss ends it while it unpacks, of ours and of what it needs."""
    node.run(f"dpkg --unpack {REPOSITORY}/*.deb")
    states = {
        "ipvsadm": "reinstreq unpacked",
        "libnl-3-200": "reinstreq half-installed",
        "libpopt0": "ok half-installed",
    }
    for name, state in states.items():
        edit = f"/^Package: {name}$/,/^$/s/^Status: .*/Status: install {state}/"
        node.run(f"sed -i '{edit}' /var/lib/dpkg/status")
    # An admin's own, which no source has, does not keep ours out.
    with (node.root / "var/lib/dpkg/status").open("a") as status:
        status.write("Package: own\nStatus: install ok half-installed\nArchitecture: all\n")
        status.write("Maintainer: a <a@b.c>\nDescription: test\n\n")
    yield


@contextmanager
def source_of_an_admin_is_down(node: Node) -> Iterator[None]:
    (node.root / "etc/apt/sources.list.d/extra.list").write_text("deb [trusted=yes] http://127.0.0.1:9/ ./\n")
    yield


FILL_BY_DNF = """\
import dnf
import subprocess
class Fill(dnf.Plugin):
    name = "fill"
    def resolved(self):
        pass
    def pre_transaction(self):
        subprocess.run(["sh", "/root/fill"])
"""
# All that is left, to the last page.
FILL = 'test -e /filler || fallocate -l "$(($(stat -fc "%a * %S" /)))" /filler\n'


@contextmanager
def disk_full_after_download(node: Node) -> Iterator[None]:
    """Between download and installation, by a hook of the package manager; /run is a tmpfs, as on a node."""
    (node.root / "root/fill").write_text(FILL)
    if node.platform == "al2023":
        plugins = node.root / "root/plugins"
        plugins.mkdir()
        (plugins / "fill.py").write_text(FILL_BY_DNF)
        with (node.root / "etc/dnf/dnf.conf").open("a") as config:
            config.write("\n[main]\nplugins=1\npluginpath=/root/plugins\n")
    else:
        (node.root / "etc/apt/apt.conf.d/90fill").write_text('DPkg::Pre-Invoke { "sh /root/fill"; };\n')
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(node.root / "run")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(node.root / "run")], check=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault, and what the run says: somewhere in its output if it ends well, in its last line if it fails."""

    platform: str
    fault: Fault
    ends_well: bool = False
    says: str
    spec: dict[str, Any] = field(default_factory=dict)
    limit: int = LIMIT
    waits: float = 0
    disk: bool = False


def nothing(node: Node) -> AbstractContextManager[None]:
    return nullcontext()


apt = partial(Case, platform=APT)
dnf = partial(Case, platform=DNF)
STOPPED = "cannot install ipvsadm within 60 s: .*"
CASES: dict[str, Case] = {
    # The longest: dnf gives up after 80 s by itself.
    "dnf's mirror never answers": dnf(
        fault=never_answers, limit=120, says=r"within 120 s: .*Curl error \(28\).*127\.0\.0\.1"
    ),
    # Another package manager, which ends.
    "apt installs for 60 s": apt(
        fault=lambda n: apt_installs(n, 60), ends_well=True, says="amigen: ready", limit=300, waits=50
    ),
    "apt-daily fetches lists for 20 s": apt(
        fault=lambda n: apt_updates(n, 20),
        ends_well=True,
        says=r"not yet \(Could not get lock /var/lib/apt/lists/lock\. It is held by .*again in 2 s",
        limit=300,
        waits=15,
    ),
    "dnf installs for 60 s": dnf(
        fault=lambda n: rpm_installs(n, 60, "dnf", "-y", "install"),
        ends_well=True,
        says="amigen: ready",
        limit=300,
        waits=50,
    ),
    "rpm installs for 20 s": dnf(
        fault=lambda n: rpm_installs(n, 20, "rpm", "-i"), ends_well=True, says="amigen: ready", limit=300, waits=15
    ),
    # Another package manager, which does not.
    "apt installs for ever": apt(
        fault=lambda n: apt_installs(n, 900),
        # apt's words, or dpkg's, which were the only ones once.
        says=r"(lock-frontend\. It is held by process \d+ \(apt-get\)|frontend lock was locked by .* with pid \d+)",
    ),
    "apt-daily fetches lists for ever": apt(
        fault=lambda n: apt_updates(n, 900),
        says="cannot install ipvsadm within 60 s: Could not get lock /var/lib/apt/lists/lock. It is held by",
    ),
    "dnf installs for ever": dnf(
        fault=lambda n: rpm_installs(n, 900, "dnf", "-y", "install"), says=STOPPED + "Waiting for process with pid"
    ),
    "rpm installs for ever": dnf(
        fault=lambda n: rpm_installs(n, 900, "rpm", "-i"), says="RPM: error: can't create transaction lock"
    ),
    "packages that were cut short while they were unpacked": apt(
        fault=torn_packages, ends_well=True, says="amigen: ready"
    ),
    # A network that comes.
    "apt's mirror is back after 60 s": apt(
        fault=back_after(60),
        ends_well=True,
        says=r"not yet \(Failed to fetch .*again in 2 s",
        limit=300,
        waits=55,
    ),
    "dnf's mirror is back after 20 s": dnf(
        fault=back_after(20), ends_well=True, says=r"not yet \(.*again in 2 s", limit=300, waits=15
    ),
    "a source of an admin is down": apt(fault=source_of_an_admin_is_down, ends_well=True, says="amigen: ready"),
    # A network that does not.
    "apt's proxy is wrong": apt(
        fault=elsewhere,
        says=r"within 60 s: Failed to fetch .*127\.0\.0\.1:9.*; E: Unable to locate package ipvsadm$",
        spec={"proxy": "http://127.0.0.1:9"},
    ),
    "dnf's mirror is down": dnf(
        fault=lambda n: from_network(n, 9),
        says=r"within 60 s: Curl error \(7\): .*http://127\.0\.0\.1:9.*; Error: Unable to find a match: ipvsadm$",
    ),
    "apt's mirror never answers": apt(fault=never_answers, says=STOPPED + r"Ign:\d http://127\.0\.0\.1:"),
    # Packages that cannot be had, or do not end.
    "apt does not know the package": apt(
        fault=nothing, spec={"packages": ["no-such-package"]}, says="E: Unable to locate package no-such-package$"
    ),
    "dnf does not know the package": dnf(
        fault=nothing, spec={"packages": ["no-such-package"]}, says="Error: Unable to find a match: no-such-package$"
    ),
    "apt does not have the version": apt(
        fault=nothing, spec={"packages": ["ipvsadm=9.99"]}, says="E: Version '9.99' for 'ipvsadm' was not found$"
    ),
    "dnf does not have the version": dnf(
        fault=nothing, spec={"packages": ["ipvsadm=9.99"]}, says="Error: Unable to find a match: ipvsadm-9.99$"
    ),
    "apt-get hangs": apt(fault=hanging_program, says=STOPPED + r"Reading package lists\.\.\.$"),
    "dnf hangs": dnf(fault=hanging_program, says=STOPPED + r"Reading package lists\.\.\.$"),
    "the script of a package hangs": apt(fault=hanging_package, says=STOPPED + r"Setting up hanging \(1\) \.\.\.$"),
    "apt: the disk is full after the download": apt(
        fault=disk_full_after_download, says="No space left on device", disk=True
    ),
    "dnf: the disk is full after the download": dnf(
        fault=disk_full_after_download, says="No space left on device", disk=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    lines: list[str]
    seconds: float
    has_package: bool
    words: str


Runs = dict[str, Future[Ended]]


def plan_spec(case: Case) -> dict[str, Any]:
    sources = {"timeoutSeconds": case.limit, **{k: v for k, v in case.spec.items() if k != "packages"}}
    packages = [dict(zip(("name", "version"), p.split("="), strict=False)) for p in case.spec.get("packages", [])]
    return {"packageSources": sources, "packages": packages}


@contextmanager
def node_of(case: Case, place: Path, repository: Path) -> Iterator[Node]:
    """A root whose source of packages is a small repository in it, so that a try takes no processor and no network."""
    with small_disk(case.platform, place) if case.disk else fresh_node(case.platform, place) as node:
        if case.platform == APT:
            shutil.copytree(repository, node.root / REPOSITORY)
            shutil.rmtree(node.root / "etc/apt/sources.list.d")
            (node.root / "etc/apt/sources.list.d").mkdir()
            (node.root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:///{REPOSITORY} ./\n")
        yield node


def make_repository(node: Node, target: Path) -> None:
    """The real packages of the machine's own mirror, with a list made here."""
    target.mkdir()
    apt = "apt-get -o Acquire::Retries=3"
    node.run(f"{apt} update && {apt} install -y --download-only --no-install-recommends ipvsadm")
    entries = []
    for deb in sorted((node.root / "var/cache/apt/archives").glob("*.deb")):
        shutil.copy(deb, target)
        about = node.run(f"dpkg-deb -f /var/cache/apt/archives/{deb.name}")
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{about}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    assert any(entry.startswith("Package: ipvsadm\n") for entry in entries)
    (target / "Packages").write_text("\n".join(entries))


def run_case(case: Case, place: Path, repository: Path) -> Ended:
    with node_of(case, place, repository) as node, case.fault(node):
        started = time.monotonic()
        done = node.bootstrap(node.plan(**plan_spec(case)))
        seconds = time.monotonic() - started
        (node.root / "filler").unlink(missing_ok=True)
        there = node.run("command -v ipvsadm").strip() == "/usr/sbin/ipvsadm"
        # The package manager's, of the last try.
        words = node.run("cat /run/amigen/packages.log")
    lines = done.stdout.splitlines()
    return Ended(code=done.returncode, lines=lines, seconds=seconds, has_package=there, words=words)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The runs of the tests that were asked for."""
    items = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    names = sorted((str(item.callspec.params["name"]) for item in items), key=[*CASES].index)
    repository = tmp_path_factory.mktemp("repository") / "apt"
    # One of each alone: a root that is not in the cache yet is made once.
    for platform in {CASES[name].platform for name in names}:
        with fresh_node(platform, tmp_path_factory.mktemp("first")) as node:
            if platform == APT:
                make_repository(node, repository)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        places = {name: tmp_path_factory.mktemp("wait") for name in names}
        yield {name: pool.submit(run_case, CASES[name], places[name], repository) for name in names}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.ends_well])
def test_it_waits_and_goes_on(name: str, runs: Runs) -> None:
    """It cannot have ended before the fault did; then it succeeds, and has said what it waited for."""
    case, ended = CASES[name], runs[name].result()
    print("\n".join([*ended.lines, ended.words]))
    assert ended.code == 0
    assert ended.lines[-1].startswith("amigen: ready: ")
    assert any(re.search(case.says, line) for line in ended.lines)
    assert ended.seconds > case.waits
    assert ended.has_package


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.ends_well])
def test_it_ends_in_time_and_says_why(name: str, runs: Runs) -> None:
    """Bounded, and the last line has the reason."""
    case, ended = CASES[name], runs[name].result()
    print("\n".join([*ended.lines, ended.words]))
    assert ended.code == 1
    assert re.search(f"^amigen: FAILED: .*{case.says}", ended.lines[-1])
    assert ended.seconds < case.limit + MORE
