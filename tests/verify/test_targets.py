"""`amigen verify` as a person types it, against every kind of target that is there already, with the real checks.

The targets share one root (tests.verify.good_root). None of them has a kernel of its own, so that nothing here proves a
kernel; what proves one is tests.verify.test_vm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from amigen.cli.outputs import schema_of
from amigen.render.suite import suite_files
from tests.testing.ssm_server import INSTANCE, ssm_server
from tests.verify.good_root import Good
from tests.verify.images import SPEC
from tests.verify.ssh_hosts import SshHosts, ssh_hosts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="makes and enters a root")]

ROOT = Path(__file__).parents[2]
MOTD = "etc/motd"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.replace("debian-12", "ubuntu-24.04"))
    return path


@pytest.fixture(scope="module")
def hosts(good: Good) -> Iterator[SshHosts]:
    with ssh_hosts(good.root, 9) as made:
        yield made


def amigen(spec: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amigen", "verify", str(spec), *arguments],
        cwd=spec.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def ssh(hosts: SshHosts) -> list[str]:
    return ["--identity", str(hosts.key), *(word for option in hosts.options for word in ("--ssh-option", option))]


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {r["id"]: r["outcome"] for r in json.loads(done.stdout)["results"]}


def test_ssh(good: Good, hosts: SshHosts, spec: Path) -> None:
    done = amigen(spec, hosts.targets[0], *ssh(hosts), "--output", "json")
    found = outcomes(done)
    assert done.returncode == 7, done.stderr
    assert "not provable" in done.stderr
    assert set(found) == {check.id for check in good.plan.checks if not check.image}
    assert set(found.values()) == {"passed", "not provable"}
    assert found["test_package[ipvsadm]"] == "passed"
    assert found["test_module_loaded[ip_vs]"] == "not provable"


def test_the_three_exit_codes(good: Good, hosts: SshHosts, spec: Path) -> None:
    """Proven as far as this target can, a check that failed, and no verdict."""
    target = [hosts.targets[0], *ssh(hosts)]
    assert amigen(spec, *target, "--allow-unproven").returncode == 0
    motd = good.root / MOTD
    before = motd.read_text()
    motd.write_text("changed by hand\n")
    try:
        done = amigen(spec, *target, "--allow-unproven")
    finally:
        motd.write_text(before)
    assert done.returncode == 6
    assert done.stdout.startswith("cause: expected /etc/motd as amigen writes it")
    assert "test_file /etc/motd" in done.stdout
    assert "to do" in done.stdout
    done = amigen(spec, "ssh://root@127.0.7.1:1", "--allow-unproven")
    assert done.returncode == 7
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_of_another_platform(good: Good, tmp_path: Path) -> None:
    """The cause is not that nobody ran amigen there."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("debian-12", "al2023"))
    done = amigen(spec, str(good.root))
    assert done.returncode == 6
    assert re.match(r"cause: this is Ubuntu 24\.04 .*, and the spec is for Amazon Linux 2023\n", done.stdout)


def test_the_files_of_a_report(hosts: SshHosts, spec: Path) -> None:
    files = {name: spec.parent / f"report.{name}" for name in ("junit", "html")}
    done = amigen(spec, hosts.targets[0], *ssh(hosts), *(w for n, f in files.items() for w in (f"--{n}", str(f))))
    assert done.returncode == 7
    root = ET.parse(files["junit"]).getroot()
    assert {s.get("failures") for s in root.iter("testsuite")} == {"0"}
    assert "not provable here" in files["html"].read_text()
    assert amigen(spec, "local", "--junit", "no/such/folder/x").returncode == 14


def test_hosts_side_by_side(hosts: SshHosts, spec: Path) -> None:
    """One that cannot be reached does not hide the others; so many are shared out to the processors."""
    done = amigen(spec, hosts.targets[0], "ssh://root@127.0.8.1:1", *hosts.targets[1:], *ssh(hosts), "--output", "json")
    assert done.returncode == 7
    reports = json.loads(done.stdout)["reports"]
    assert [r["target"] for r in reports] == [hosts.targets[0], "ssh://root@127.0.8.1:1", *hosts.targets[1:]]
    assert all(r["verdict"] == "unproven" for r in reports)
    assert [r["id"] for r in reports[1]["results"]] == ["reached"]
    assert all(r["target"] in done.stderr for r in reports)


def test_no_target_is_dropped_that_cannot_be_reached(spec: Path) -> None:
    """Each is in each form of the report, and is named; one target is one document, and two are a list."""
    targets = ["ssh://root@127.0.8.1:1", "ssh://root@127.0.8.2:1"]
    files = {name: spec.parent / f"report.{name}" for name in ("junit", "html")}
    written = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    two, one = amigen(spec, *targets, *written, "--output", "json"), amigen(spec, targets[0], "--output", "json")
    assert (two.returncode, one.returncode) == (7, 7)
    reports = json.loads(two.stdout)["reports"]
    assert [report["target"] for report in reports] == targets
    jsonschema.validate(json.loads(two.stdout), schema_of("verify"))
    jsonschema.validate(json.loads(one.stdout), schema_of("verify"))
    assert outcomes(one) == {"reached": "error"}
    assert "Connection refused" in reports[1]["results"][0]["found"]
    assert [suite.get("errors") for suite in ET.parse(files["junit"]).iter("testsuite")] == ["1", "1"]
    for target in targets:
        assert target in two.stderr
        assert target in files["html"].read_text()


@pytest.mark.parametrize("form", ["chroot://{}", "nspawn://{}", "{}"])
def test_folders(good: Good, spec: Path, form: str) -> None:
    done = amigen(spec, form.format(good.root), "--allow-unproven", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(outcomes(done).values()) == {"passed", "not provable"}


@pytest.mark.skipif(not shutil.which("podman"), reason="podman is not installed; `make test` brings it")
def test_a_container(good: Good, spec: Path) -> None:
    """podman's own exec; a container borrows its host's kernel, which is never taken for the image's."""
    name = f"amigen-test-{os.getpid()}"
    run = ["podman", "--runtime", "/usr/sbin/runc", "run", "--rm", "-d", "--name", name, "--network=none"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=32768:32768"]
    started = subprocess.run(
        [*run, *limits, "--rootfs", str(good.root), "sleep", "600"], capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
    try:
        done = amigen(spec, f"podman://{name}", "--output", "json")
        allowed = amigen(spec, f"podman://{name}", "--allow-unproven")
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], capture_output=True, check=False)
    assert done.returncode == 7, done.stderr
    report = json.loads(done.stdout)
    found = outcomes(done)
    assert {v for k, v in found.items() if k.startswith("test_package")} == {"passed"}
    assert {v for k, v in found.items() if k.startswith(("test_module_loaded", "test_scheduler", "test_sysctl["))} == {
        "not provable"
    }
    assert any("borrows the kernel of its host" in r["found"] for r in report["results"] if "found" in r)
    assert allowed.returncode == 0, allowed.stderr


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_without_the_tool(spec: Path, tmp_path: Path, tool: str) -> None:
    """The message names what is missing; nothing is passed."""
    for name in ("sh", "env"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}" if name == "sh" else "/usr/bin/env")
    done = amigen(spec, f"{tool}://box", PATH=str(tmp_path / "bin"))
    assert done.returncode == 9, done.stderr
    assert f"{tool} is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_session_manager(spec: Path) -> None:
    """Through SendCommand of a stand-in that runs the script on this machine, which is no node of this spec."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}
    with ssm_server() as server:
        done = amigen(spec, f"ssm://{INSTANCE}", "--output", "json", **keys, AWS_ENDPOINT_URL_SSM=server.url)
        sent = len(server.scripts)
    assert done.returncode == 6, done.stderr
    found = outcomes(done)
    assert found["test_release[proof]"] == "failed"
    assert found["test_file[/etc/modules-load.d/ipvs.conf]"] == "failed"
    # One command, and what of its answer did not fit into the first.
    assert 1 <= sent <= 4


def test_local(spec: Path) -> None:
    """This machine: no node of this spec, and it is not taken for one."""
    done = amigen(spec, "local", "--output", "json")
    assert done.returncode == 6, done.stderr
    assert outcomes(done)["test_release[proof]"] == "failed"


OWN = """\
def test_motd(host):
    assert host.file("/etc/motd").contains("amigen")

def test_wrong(host):
    assert host.file("/etc/motd").size == 1
"""


def test_checks_of_ones_own(hosts: SshHosts, spec: Path) -> None:
    """The folder `checks` beside the spec, without any option: the same fixtures, the same report."""
    checks = spec.parent / "checks"
    checks.mkdir()
    (checks / "test_mine.py").write_text(OWN)
    (checks / "test_torn.py").write_text("def test_(:\n")
    done = amigen(spec, hosts.targets[0], *ssh(hosts), "--output", "json")
    found = outcomes(done)
    assert done.returncode == 6
    assert found["checks/test_mine.py::test_motd"] == "passed"
    assert found["checks/test_mine.py::test_wrong"] == "failed"
    assert found["checks/test_torn.py"] == "error"
    assert found["test_package[ipvsadm]"] == "passed"


def test_a_folder_without_a_test_is_no_proof(good: Good, spec: Path) -> None:
    checks = spec.parent / "mine"
    checks.mkdir()
    (checks / "motd.py").write_text(OWN)
    done = amigen(spec, str(good.root), "--checks", "mine", "--allow-unproven")
    assert done.returncode == 7
    assert f"pytest finds no test in {checks}: name the files test_*.py" in done.stdout


def test_no_code_of_a_folder_above_is_run(good: Good, spec: Path, tmp_path: Path) -> None:
    """The suite and often the spec are in a folder in /tmp, where every user can put a conftest.py for root to run."""
    shared = tmp_path / "shared"
    checks = shared / "work" / "checks"
    checks.mkdir(parents=True)
    foreign = f"raise SystemExit(open({str(tmp_path / 'ran')!r}, 'w').close())\n"
    for folder in (shared, checks.parent):
        for name in ("conftest.py", "__init__.py"):
            (folder / name).write_text(foreign)
    (checks / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef mine():\n    return 'mine'\n")
    (checks / "test_mine.py").write_text("def test_it(mine):\n    assert mine == 'mine'\n")
    moved = spec.rename(checks.parent / "spec.yaml")
    done = amigen(moved, str(good.root), "--allow-unproven", "--output", "json", TMPDIR=str(shared))
    assert done.returncode == 0, done.stderr
    assert outcomes(done)["checks/test_mine.py::test_it"] == "passed"
    assert not (tmp_path / "ran").exists()


# As amigen 0.1.0 rendered it for the same plan, whose digest may differ since.
OLD_SUITE = ROOT / "tests/testing/suite_0_1_0/test_node.py.txt"


@pytest.mark.parametrize("old", [False, True], ids=["rendered now", "rendered by 0.1.0"])
def test_the_rendered_suite_in_a_pytest_of_ones_own(good: Good, hosts: SshHosts, tmp_path: Path, old: bool) -> None:
    """`pytest --hosts=...` on the rendered files, without amigen's command, beside a test of the user's."""
    suite = OLD_SUITE.read_text() if old else suite_files(good.plan)["tests/test_node.py"]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_node.py").write_text(suite)
    config = tmp_path / "ssh_config"
    lines = [f"IdentityFile {hosts.key}", *(option.replace("=", " ") for option in hosts.options)]
    config.write_text("Host *\n" + "".join(f"  {line}\n" for line in lines))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "/dev/null",
        "-p",
        "no:cacheprovider",
        "-p",
        "amigen.testing.plugin",
    ]
    command += [f"--ssh-config={config}", str(tmp_path / "tests/test_node.py"), "-rs"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    wanted = sum(not check.image for check in good.plan.checks)
    # Not the files and the release, which newer versions write otherwise.
    command += ["-k", "not test_file and not test_release"] if old else []
    prefetch = ["--amigen-prefetch"] if old else []
    for more in ([f"--hosts=chroot://{good.root}", *prefetch], [f"--hosts={hosts.targets[0]}", *prefetch]):
        done = subprocess.run([*command, *more], env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        passed, skipped = (int(re.findall(f"([0-9]+) {word}", done.stdout)[-1]) for word in ("passed", "skipped"))
        assert passed + skipped == wanted if not old else passed > 12
        assert "not provable here" in done.stdout
