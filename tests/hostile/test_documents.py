"""Files that would hurt: refused within bounds of memory and time, with one message and no traceback."""

from __future__ import annotations

import codecs
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def check(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amigen", "check", path],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS * 10,
        check=False,
        preexec_fn=bounded,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
    )


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
        assert (done.returncode, "a spec has at most 1048576" in done.stderr) == (3, True), done.stderr


def test_the_bounds_are_bounds(tmp_path: Path) -> None:
    """The same limits stop a program that takes more."""
    done = subprocess.run(
        [sys.executable, "-c", f"print(len(b'x' * {MEMORY}))"], capture_output=True, preexec_fn=bounded, check=False
    )

    assert done.returncode != 0
    assert b"MemoryError" in done.stderr
