"""Files that would hurt: refused within bounds of memory and time, with one message and no traceback."""

from __future__ import annotations

import codecs
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from amigen.cli import cli
from amigen.render.folder import MANIFEST
from tests.specs import MINIMAL, ROOT

# A process each, with bounds.
pytestmark = pytest.mark.slow

HEAD = yaml.safe_dump(MINIMAL, sort_keys=False)
MEGABYTE = 1 << 20
# Far above what the check takes (it needs some 100 MB and a few seconds), far below what such files are made for.
MEMORY, SECONDS = 512 * MEGABYTE, 60


def laughs(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, levels)]
    return "\n".join(lines)


DOCUMENTS: dict[str, bytes] = {
    "a billion laughs": laughs(10, 9).encode(),
    "wide laughs": laughs(4, 200).encode(),
    "one long text, many aliases": (HEAD + f"a: &a {'x' * 900_000}\nb: [{'*a,' * 30_000}]\n").encode(),
    "many files of one text": (
        HEAD
        + f"files: [{{path: /a/x, content: &a {'x' * 60_000}}}"
        + "".join(f", {{path: /a/{n}, content: *a}}" for n in range(255))
        + "]\n"
    ).encode(),
    "an alias of itself": b"a: &a {b: *a}",
    "deep lists": b"[" * 500_000,
    "deep mappings": b"{a: " * 200_000,
    "deep blocks": "".join(" " * n + "a:\n" for n in range(1400)).encode()[:MEGABYTE],
    "deep keys": b"? " * 400_000,
    "unknown keys": (HEAD + "".join(f"a{n}: 1\n" for n in range(24_000))).encode(),
    "one key many times": (HEAD + f"sysctls: {{{'a.b: 1, ' * 24_000}}}\n").encode(),
    "many wrong entries": (HEAD + f"files: [{'{}, ' * 24_000}]\n").encode(),
    "a long key": (HEAD + f"{'a' * 900_000}: 1\n").encode(),
    "a long path": (HEAD + f"files: [{{content: x, path: {'/a' * 400_000}}}]\n").encode(),
    "a long number": (HEAD + f"local: {{cpus: {'9' * 900_000}}}\n").encode(),
    "a long number of base 60": (HEAD + f"local: {{cpus: {'1:' * 400_000}1}}\n").encode(),
    "a text for a long pattern": (HEAD + f"aws: {{encryption: {{kmsKeyId: 'arn:aws{'-' * 900_000}'}}}}\n").encode(),
    "anchors": "".join(f"a{n}: &b{n} 1\n" for n in range(40_000)).encode(),
    "tags": (HEAD + "x: !!python/object/apply:os.system [touch /canary]\n").encode(),
    "directives": b"%YAML 9.9\n---\na: 1\n",
    "UTF-16": HEAD.encode("utf-16"),
    "UTF-16 without a mark": HEAD.encode("utf-16-le"),
    "UTF-32": HEAD.encode("utf-32"),
    "Latin-1": HEAD.replace("ipvs-nodes", "caf\xe9").encode("latin-1"),
    "NUL": HEAD.replace("ipvs-nodes", "a\0b").encode(),
    "a mark in the middle": HEAD.encode() + codecs.BOM_UTF8 + b"a: 1\n",
    "half a surrogate pair": HEAD.encode() + b"x: \xed\xa0\x80\n",
    "overlong": HEAD.encode() + b"x: \xc0\xaf\n",
    "random": bytes(range(256)) * 16,
    "an ELF": b"\x7fELF" + b"\0" * 5000,
    "gzip": b"\x1f\x8b\x08" + b"\0" * 200,
    "too long by one": b" " * (MEGABYTE + 1),
}


def bounded(memory: int = MEMORY, seconds: int = SECONDS) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def amigen(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "amigen", *arguments, cwd=cwd)


def python(
    *arguments: str, memory: int = MEMORY, seconds: int = SECONDS, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds * 10,
        check=False,
        preexec_fn=lambda: bounded(memory, seconds),
        cwd=cwd,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "HOME": "/nonexistent",
            **environment,
        },
    )


def check(path: str) -> subprocess.CompletedProcess[str]:
    return amigen("check", path)


@pytest.mark.parametrize("case", DOCUMENTS)
def test_refused_within_bounds(case: str, tmp_path: Path) -> None:
    """The exit code of a spec that is wrong, a message with the file, and nothing else."""
    file = tmp_path / "spec.yaml"
    file.write_bytes(DOCUMENTS[case])
    done = check(str(file))

    assert done.returncode == 3, done.stderr[-600:]
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(str(file))
    assert done.stderr.rstrip().endswith("; nothing was done")


def test_a_file_that_never_ends(tmp_path: Path) -> None:
    """A device, and a sparse file of a terabyte: no more than the limit is read."""
    (tmp_path / "huge").touch()
    try:
        with (tmp_path / "huge").open("r+b") as stream:
            stream.truncate(1 << 40)
    except OSError:
        pytest.skip("the file system takes no sparse file of this size")
    for path in ("/dev/zero", str(tmp_path / "huge")):
        done = check(path)
        assert (done.returncode, "has more than 1048576 bytes" in done.stderr) == (3, True), done.stderr


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: c
"""
_CLUSTER = ("--kubeconfig", "kubeconfig")
# Each option and argument that names a file to read; one that is not here is told about below.
READS: dict[str, tuple[str, ...]] = {
    "check SPEC": ("check", "{}"),
    "plan SPEC": ("plan", "{}"),
    "render SPEC": ("render", "-o", "out", "{}"),
    "user-data SPEC": ("user-data", "{}"),
    "user-data --merge": ("user-data", "spec.yaml", "--merge", "{}"),
    "user-data explain FILE": ("user-data", "explain", "{}", "--for", "karpenter"),
    "publish --record": ("publish", "spec.yaml", "--record", "{}"),
    "images diff A": ("images", "diff", "{}", "spec.yaml"),
    "images base --record": ("images", "base", "spec.yaml", "--record", "{}"),
    "kube-proxy plan --spec": ("kube-proxy", "plan", *_CLUSTER, "--spec", "{}"),
    "kube-proxy plan --verified": ("kube-proxy", "plan", *_CLUSTER, "--mode", "ipvs", "--verified", "n={}"),
    "kube-proxy status --listing": ("kube-proxy", "status", *_CLUSTER, "--listing", "{}"),
    "kube-proxy migrate --config": ("kube-proxy", "migrate", "--kubernetes-version", "1.35", "--config", "{}"),
    "kube-proxy rollback --saved": ("kube-proxy", "rollback", *_CLUSTER, "--saved", "{}"),
}
# Imports the clients of AWS and Kubernetes, which alone take some hundred megabytes of addresses.
CLIENTS = 1200 * MEGABYTE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of each kind that are no documents, and what the commands need besides."""
    (tmp_path / "spec.yaml").write_text(HEAD)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "a folder").mkdir()
    os.mkfifo(tmp_path / "a pipe")
    (tmp_path / "Latin-1").write_bytes(b'{"caf\xe9": 1}')
    (tmp_path / "nested").write_bytes(b'{"a": ' * 200_000)
    return tmp_path


_ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from amigen.cli import main
out = {}
for kind in sys.argv[2:]:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main([word.format(kind) for word in json.loads(sys.argv[1])])
            code = 0
        except SystemExit as end:
            code = end.code
    out[kind] = code, said.getvalue()
print(json.dumps(out))
"""


@pytest.mark.parametrize("reads", READS)
def test_whatever_a_file_is(reads: str, folder: Path) -> None:
    """One message that names it, the exit code of wrong input, and no wait for what never comes or ends."""
    done = python("-c", _ONE_AFTER_ANOTHER, json.dumps(READS[reads]), *KINDS, memory=CLIENTS, cwd=folder)

    # Another exception than those that the command line explains would have ended it.
    assert done.returncode == 0, done.stderr[-600:]
    for kind, (code, said) in json.loads(done.stdout).items():
        if kind in _TAKEN.get(reads, ()):
            continue
        assert code in (2, 3, 14), said
        assert kind in said


KINDS = ("/dev/zero", "a folder", "a pipe", "Latin-1", "nested")
# What is read: user data may be any bytes and a listing any text; what comes of it is told elsewhere.
_TAKEN = {
    "user-data --merge": ("Latin-1", "nested"),
    "user-data explain FILE": ("Latin-1", "nested"),
    "kube-proxy status --listing": ("nested",),
}


def test_every_option_that_reads_a_file_is_among_them() -> None:
    """A new one is told about here."""
    known = {word for words in READS.values() for word in words if word.startswith("--")}
    found = {
        option
        for command in _commands(cli)
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.human_readable_name not in _NO_INPUT
        for option in parameter.opts
        if isinstance(parameter.type, (click.Path, click.File)) or "FILE" in (parameter.metavar or "")
    }
    assert found - known == set()


# They are written, are folders, or are read by another program (ssh, Packer, the Kubernetes client).
_NO_INPUT = (
    "junit",
    "man_folder",
    "html",
    "logs",
    "write_spec",
    "folder",
    "records",
    "checks",
    "identity",
    "packer",
    "kubeconfig",
)


def _commands(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from _commands(command)


@pytest.mark.parametrize("kind", ["endless", "a pipe", "a folder"])
def test_a_manifest_that_is_none(kind: str, folder: Path) -> None:
    """What stands in a folder that was rendered before is somebody's file, too."""
    assert amigen("render", "spec.yaml", "-o", "out", cwd=folder).returncode == 0
    manifest = folder / "out" / MANIFEST
    manifest.unlink()
    manifest.symlink_to("/dev/zero" if kind == "endless" else folder / kind)
    done = amigen("render", "spec.yaml", "-o", "out", cwd=folder)

    assert done.returncode in (5, 14), done.stderr[-600:]
    assert MANIFEST in done.stderr
    assert "Traceback" not in done.stderr


def test_the_bounds_are_bounds(tmp_path: Path) -> None:
    """The same limits stop a program that takes more."""
    done = subprocess.run(
        [sys.executable, "-c", f"print(len(b'x' * {MEMORY}))"], capture_output=True, preexec_fn=bounded, check=False
    )

    assert done.returncode != 0
    assert b"MemoryError" in done.stderr
