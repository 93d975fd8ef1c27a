"""The command line with wrong input: one message, an exit code of its kind, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from amigen.base.errors import InputError
from tests.command import forked
from tests.kubeproxy import samples
from tests.kubeproxy.fake_api import FakeApi


def amigen(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "AWS"))} | environment
    done = forked(("kube-proxy", *arguments), env, Path.cwd())
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_no_kubeconfig(tmp_path: Path) -> None:
    """Names the file that it looked for, and how to get one."""
    done = amigen("plan", "--mode", "ipvs", HOME=str(tmp_path))

    assert done.returncode == 14
    assert f"no kubeconfig: {tmp_path}/.kube/config is not there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "][", "a: b", "kind: Config\ncontexts: 7\n", "kind: Config\nclusters: []\n"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    """One error, whatever the library makes of it."""
    file = tmp_path / "config"
    file.write_text(text)

    done = amigen("plan", "--mode", "ipvs", "--kubeconfig", str(file))

    assert done.returncode == 14
    assert "Traceback" not in done.stderr


def a_kubeconfig(tmp_path: Path) -> str:
    file = tmp_path / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {token: secret-token}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    return str(file)


def test_no_such_context(tmp_path: Path) -> None:
    """The known ones are listed."""
    done = amigen("plan", "--mode", "ipvs", "--kubeconfig", a_kubeconfig(tmp_path), "--context", "x")

    assert done.returncode == 14
    assert "no context 'x'" in done.stderr
    assert "there are: c" in done.stderr


def test_no_server(tmp_path: Path) -> None:
    """Nobody listens; the token is not printed."""
    done = amigen("plan", "--mode", "ipvs", KUBECONFIG=a_kubeconfig(tmp_path))

    assert done.returncode == 11
    assert "the API server https://127.0.0.1:1 does not answer: " in done.stderr
    assert "secret-token" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["plan"], 14, "no mode given"),
        (["plan", "--mode", "userspace"], 2, "'userspace' is not one of"),
        (["plan", "--mode", "ipvs", "--scheduler", "fo"], 14, "they are rr, wrr"),
        (["plan", "--mode", "ipvs", "--set", "ipvs.foo=1"], 14, "does not know this field"),
        (["plan", "--spec", "/no/such/spec.yaml"], 14, "/no/such/spec.yaml"),
        (["migrate", "--config", "/no/such"], 14, "--config needs --kubernetes-version"),
        (["migrate", "--config", "/no/such", "--kubernetes-version", "1.33"], 14, "/no/such"),
        (["status", "--interval", "0"], 2, "not in the range"),
        (["rollback", "--saved", "/no/such"], 14, "/no/such"),
    ],
)
def test_wrong_options(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    """Found before the cluster is asked, wherever that is possible."""
    done = amigen(*arguments, "--kubeconfig", a_kubeconfig(tmp_path), XDG_STATE_HOME=str(tmp_path))

    assert says in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_reports_of_verify(tmp_path: Path) -> None:
    """The outcomes of a real report; anything else is an error."""
    from amigen.kubeproxy.readiness import read_verified
    from amigen.verify.report import Report, Result

    results = (
        Result(id="test_module_loaded[ip_vs]", phase="first boot", outcome="failed"),
        Result(id="test_module_loaded[ip_vs]", phase="second boot", outcome="passed"),
    )
    made = Report(
        spec="s", digest="d", platform="al2023", target="vm:x", kind="vm", amigen="0", started="2026-01-01T00:00:00Z",
        seconds=1.0, verdict="failed", results=results,
    )  # fmt: skip
    file = tmp_path / "report.json"
    file.write_bytes(msgspec.json.encode(made))

    assert read_verified(f"a={file}") == ("a", {"test_module_loaded[ip_vs]": "failed"})
    for text in ("a", "=x", f"a={tmp_path}/none", f"a={__file__}"):
        with pytest.raises(InputError):
            read_verified(text)


def test_migrate_without_a_cluster(tmp_path: Path) -> None:
    """From a file; the spec is written once and never over another file."""
    config = tmp_path / "config.conf"
    config.write_text(samples.EKS_CONFIG.replace('"iptables"', '"ipvs"'))
    arguments = ["migrate", "--config", str(config), "--kubernetes-version", "1.35"]

    done = amigen(*arguments, "--write-spec", str(tmp_path / "spec.yaml"))

    assert done.returncode == 0, done.stderr
    assert "from ipvs to nftables" in done.stdout
    assert "mode: nftables" in (tmp_path / "spec.yaml").read_text()
    assert amigen(*arguments, "--write-spec", str(tmp_path / "spec.yaml")).returncode == 14


MODULES = """
import atexit, sys
atexit.register(lambda: print("modules:", *sys.modules, file=sys.stderr))
from amigen.cli import main
main()
"""


def test_what_is_imported(tmp_path: Path) -> None:
    """Help takes nothing of these rooms, and a cluster that is not of EKS no boto3: each takes 0.25 s."""

    def modules(*arguments: str) -> set[str]:
        words = [sys.executable, "-c", MODULES, "kube-proxy", *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return set(done.stderr.partition("modules:")[2].split())

    for arguments in ((), ("plan",), ("status",)):
        assert not modules(*arguments, "--help") & {"boto3", "botocore", "amigen.kubeproxy", "amigen.kubernetes"}
    with FakeApi() as api:
        found = modules("status", "--kubeconfig", str(api.kubeconfig(tmp_path)))
    assert "amigen.kubeproxy.session" in found
    assert not found & {"boto3", "botocore"}
