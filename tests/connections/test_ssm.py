"""The Session Manager connection, against a stand-in that runs the commands on this machine (see ssm_server)."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import testinfra
from hypothesis import given
from hypothesis import strategies as st

from amigen.aws.session import Aws, AwsOptions
from amigen.connections import parse_target
from amigen.connections.model import ConnectOptions, UnreachableError
from amigen.connections.ssm import PART, SessionManager, begun, unpacked, wrapped
from amigen.facts import Wanted
from amigen.testing.backend import ConnectionBackend, backend_over
from amigen.testing.gather import gather
from amigen.testing.teach import teach_testinfra
from tests.testing.ssm_server import INSTANCE, SsmServer, ssm_server


@pytest.fixture
def server() -> Iterator[SsmServer]:
    with ssm_server() as running:
        yield running


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is 50 seconds later, and nothing waits."""
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    ticks = itertools.count(0, 50)
    monkeypatch.setattr(
        "amigen.base.waiting.time", SimpleNamespace(sleep=lambda _seconds: None, monotonic=lambda: next(ticks))
    )


def connection(server: SsmServer, name: str = INSTANCE, options: ConnectOptions | None = None) -> SessionManager:
    made = SessionManager(parse_target(f"ssm://{name}"), options or ConnectOptions(seconds=3600))
    made.aws = Aws(AwsOptions(endpoint_url=server.url))
    return made


def backend(server: SsmServer, name: str = INSTANCE) -> ConnectionBackend:
    return backend_over(connection(server, name))


def test_a_command_with_code_stdout_and_stderr(server: SsmServer) -> None:
    done = backend(server).run("echo out; printf %s >&2; exit 7", "it's é")
    assert (done.rc, done.stdout, done.stderr) == (7, "out\n", "it's é")


def test_output_over_the_limit_arrives_in_parts(server: SsmServer) -> None:
    """100 KB that do not compress: five answers of the API, and nothing is left on the instance."""
    command = "dd if=/dev/urandom bs=1000 count=100 2>/dev/null | base64 -w 0"
    done = backend(server).run(command)
    assert len(done.stdout) == 133_336
    assert len(server.scripts) > 5
    folder = server.scripts[-1].split("rm -rf ")[1].strip().strip("'")
    assert not Path(folder).exists()


def test_binary_output(server: SsmServer) -> None:
    done = backend(server).run("printf '\\000\\377\\n'")
    assert done.stdout_bytes == b"\x00\xff\n"


def test_a_long_command_travels_packed(server: SsmServer) -> None:
    text = "x" * 50_000
    assert backend(server).run("printf %s", text).stdout == text
    assert len(server.scripts[0]) < 5_000


def test_gathering_is_one_command(server: SsmServer) -> None:
    wanted = Wanted(
        modules=("ip_vs",), packages=("bash",), files=("/etc/hostname",), settings=("/proc/sys/kernel/ostype",)
    )
    known = gather(backend(server), wanted)
    assert known.settings == {"/proc/sys/kernel/ostype": "Linux"}
    assert len(server.scripts) == 1


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_script_of_run_command_answers_once(tmp_path: Path, size: int) -> None:
    """One part with the script's code, which MaxErrors counts, and nothing is left on the instance."""
    script = f"head -c {size} /dev/urandom; echo why >&2; exit 3"
    env = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(["/bin/sh", "-c", wrapped(script, whole=True)], capture_output=True, check=False, env=env)
    length, _, answer = begun("i-1", done.stdout.decode())
    assert (done.returncode, list(tmp_path.iterdir())) == (3, [])
    if size > PART:
        assert len(answer) < length
    else:
        code, stdout, stderr = unpacked(answer)
        assert (code, len(stdout), stderr) == (3, size, b"why\n")


def test_an_instance_that_is_not_managed(server: SsmServer) -> None:
    with pytest.raises(UnreachableError, match="does its agent run"):
        backend(server, "i-00000000000000000").run("true")


def test_no_region(server: SsmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(UnreachableError, match="specify a region") as found:
        backend(server).run("true")
    assert found.value.hint == "name it: ssm://INSTANCE?region=REGION, or AWS_REGION"


def test_a_command_that_did_not_run(server: SsmServer) -> None:
    server.override = {"Status": "TimedOut", "StatusDetails": "DeliveryTimedOut", "StandardOutputContent": ""}
    with pytest.raises(UnreachableError, match="DeliveryTimedOut"):
        backend(server).run("true")


def test_a_command_that_never_ends(server: SsmServer) -> None:
    server.override = {"Status": "InProgress"}
    with pytest.raises(UnreachableError, match="InProgress after 60 s"):
        connection(server, options=ConnectOptions(seconds=60)).run("true")


def test_an_answer_that_is_not_ours(server: SsmServer) -> None:
    """As moto's server gives it: the same text for every command."""
    server.override = {"StandardOutputContent": "This is canned output"}
    with pytest.raises(UnreachableError, match="something else than our command"):
        backend(server).run("true")


def test_an_answer_that_loses_a_part(server: SsmServer) -> None:
    server.override = {"StandardOutputContent": f"amigen {PART + 5} /tmp/gone\n" + "x" * PART}
    sent = connection(server)
    original = sent._send

    def once(script: str) -> str:
        answer = original(script)
        server.override = {"StandardOutputContent": ""}
        return answer

    sent._send = once  # type: ignore[method-assign]
    with pytest.raises(UnreachableError, match="ends after"):
        sent.run("true")


@given(st.text(max_size=200))
def test_hostile_answers_are_refused_or_read(text: str) -> None:
    try:
        unpacked(text)
    except UnreachableError:
        return


def test_requests_are_what_the_api_takes() -> None:
    """moto's server checks them by botocore's model; its answer is canned, and so is refused here."""
    from moto import mock_aws

    with mock_aws():
        manager = SessionManager(parse_target(f"ssm://{INSTANCE}"))
        with pytest.raises(UnreachableError, match="something else than our command"):
            manager.run("true")


def test_testinfra_knows_the_connection(tmp_path: Path) -> None:
    """`ssm://` with region and profile, through testinfra's own entry."""
    teach_testinfra()
    made = testinfra.get_host(f"ssm://{INSTANCE}?region=eu-central-1&profile=ops").backend
    target = made.over.target
    assert (made.NAME, made.hostname, target.region, target.profile) == ("ssm", INSTANCE, "eu-central-1", "ops")
    assert made.get_pytest_id() == f"ssm://{INSTANCE}"
    root = tmp_path / "a root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/sh").touch()
    assert testinfra.get_host(f"nspawn://{quote(str(root))}").backend.hostname == str(root)
    assert testinfra.get_host("chroot:///srv/root").backend.name == "/srv/root"
    assert testinfra.get_host("ssh://me@there:2222").backend.host.port == "2222", "as before"
