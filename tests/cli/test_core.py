"""`init check plan render user-data schema` as a user meets them: codes, streams, wrong input of every kind."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Amigen
from tests.command import COMMAND, ENVIRONMENT
from tests.specs import EXAMPLES, joins

# A process each.
pytestmark = pytest.mark.slow

SpecFile = Callable[..., str]
TAKES_A_SPEC = [
    ["check"],
    ["plan"],
    ["render", "-o", "out"],
    ["user-data"],
    ["user-data", "explain", "--for", "karpenter"],
]
takes_a_spec = pytest.mark.parametrize("command", TAKES_A_SPEC, ids=" ".join)
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")


@pytest.mark.parametrize("command", [[], ["init"], *TAKES_A_SPEC, ["schema"]], ids=" ".join)
def test_help(command: list[str], amigen: Amigen) -> None:
    """On stdout, with code 0."""
    done = amigen(*command, "--help")

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Usage: amigen" in done.stdout


def test_the_first_minute(amigen: Amigen, tmp_path: Path) -> None:
    """init, check, plan, render, user-data: each ends with 0, says nothing on stderr, and does what it says."""
    first = amigen("init", "--mode", "nftables")
    assert first.stdout.startswith(b"wrote node-image.yaml, and .amigen/schema.json beside it")
    assert first.stdout.endswith(b"next: amigen plan node-image.yaml\n")
    assert amigen("check", "node-image.yaml").stdout == b"node-image.yaml: ok\n"
    assert b"ipvs-nodes on Amazon Linux 2023" in amigen("plan", "node-image.yaml").stdout
    done = amigen("render", "node-image.yaml", "-o", "out")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out/al2023/scripts/bootstrap.sh").is_file()
    again = amigen("render", "node-image.yaml", "-o", "out")
    assert again.stdout == b"out: up to date\n"
    document = amigen("user-data", "node-image.yaml", "--format", "shell")
    assert document.stdout.startswith(b"#!/usr/bin/env bash\n")
    assert document.stderr == b""


@pytest.mark.parametrize("command", [["check"], ["plan"], ["user-data", "explain", "--for", "karpenter"]], ids=" ".join)
def test_json_is_json(command: list[str], amigen: Amigen, spec_file: SpecFile) -> None:
    """The whole of stdout, in any locale, with names that are not ASCII; warnings stay out of it."""
    file = spec_file({"kubernetesVersion": "1.36", "files": [{"path": "/etc/ä😀", "content": "ö"}]})
    found = [
        json.loads(amigen(*command, file, "--output", "json", **locale).stdout)
        for locale in ({}, {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    ]

    assert found[0] == found[1]
    assert "/etc/ä😀" in json.dumps(found[1], ensure_ascii=False) or command != ["plan"]


def test_json_of_a_spec_that_is_wrong(amigen: Amigen, tmp_path: Path) -> None:
    """The problems are on stdout, and the code says that there are some."""
    (tmp_path / "x.yaml").write_text("kind: NodeImage\n")
    done = amigen("check", "x.yaml", "--output", "json")
    document = json.loads(done.stdout)

    assert (done.returncode, done.stderr, document["ok"]) == (3, b"", False)
    assert all(problem["line"] for problem in document["problems"])


def test_warnings_go_to_stderr(amigen: Amigen, spec_file: SpecFile) -> None:
    """stdout stays the result; --strict makes them errors."""
    file = spec_file({"kubernetesVersion": "1.36"})
    done = amigen("plan", file)

    assert (done.returncode, b"warning" in done.stderr, b"warning" in done.stdout) == (0, True, False)
    assert (amigen("check", file).returncode, amigen("check", file, "--strict").returncode) == (0, 3)


@takes_a_spec
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("missing.yaml", 14, "No such file"),
        ("folder", 14, "holds no spec"),
        ("missing/spec.yaml", 14, "No such file"),
        ("binary", 3, "not UTF-8|not valid YAML|of a kind"),
        ("empty", 3, "is empty"),
        ("wrong.yaml", 3, "unknown key 'kubeproxy'"),
        ("a" * 300, 14, "too long"),
    ],
)
def test_wrong_files(command: list[str], name: str, code: int, words: str, amigen: Amigen, tmp_path: Path) -> None:
    """One message, the code of its kind, nothing on stdout and no folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").touch()
    (tmp_path / "wrong.yaml").write_text("apiVersion: amigen/v1alpha1\nkind: NodeImage\nkubeproxy: {}\n")
    done = amigen(*command, name)

    if "explain" in command and name in ("binary", "empty"):
        # Any bytes may be user data: what is wrong with them is the explanation.
        assert done.returncode in (0, 14)
        return
    assert (done.returncode, done.stdout) == (code, b"")
    assert re.search(words, done.stderr.decode())
    assert not (tmp_path / "out").exists()


@needs_root
@takes_a_spec
def test_a_file_that_may_not_be_read(command: list[str], spec_file: SpecFile, tmp_path: Path) -> None:
    """Root without its capabilities is a user like others; a folder of that kind is refused alike."""
    (tmp_path / spec_file()).chmod(0)
    (tmp_path / "folder").mkdir(mode=0)
    for name in ("spec.yaml", "folder", "folder/spec.yaml"):
        bare = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--", *COMMAND, *command, name]
        done = subprocess.run(bare, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, timeout=120, check=False)

        assert (done.returncode, done.stdout) == (14, b"")
        assert re.search(f"cannot (read|look for).* {name}: Permission denied", done.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan", "spec.yaml", "--platform", "windows"], 14, b"windows is not a platform of this spec"),
        (["user-data", "spec.yaml", "--platform", "debian-12"], 14, b"it has: al2023"),
        (["user-data", "spec.yaml", "--arch", "arm64"], 14, b"arm64 is not an architecture of this spec"),
        (["user-data", "spec.yaml", "--format", "pdf"], 2, b"'pdf' is not one of"),
        (["user-data", "explain", "spec.yaml"], 2, b"--for"),
        (["user-data", "explain", "spec.yaml", "--for", "gke"], 2, b"'gke' is not one of"),
        (["user-data", "spec.yaml", "--merge", "missing"], 14, b"No such file"),
        (["user-data", "spec.yaml", "--merge", "spec.yaml"], 14, b"cannot be used"),
        (["render", "spec.yaml"], 2, b"--output-folder"),
        (["render", "spec.yaml", "-o", "."], 13, b"current folder"),
        (["render", "spec.yaml", "-o", "spec.yaml"], 2, b"is a file"),
        (["render", "spec.yaml", "-o", "/proc/x/y"], 1, b"No such file"),
        (["plan", "spec.yaml", "--output", "xml"], 2, b"'xml' is not one of"),
        (["verify", "spec.yaml"], 2, b"Missing argument"),
        (["verify", "spec.yaml", "local", "--no-reboot"], 2, b"--no-reboot: only for image files"),
        (["verify", "spec.yaml", "ssh://a", "--user", "me"], 2, b"part of its target: ssh://USER@HOST"),
        (["verify", "spec.yaml", "ssh://a", "--identity", "missing"], 2, b"'missing': there is no such file"),
        (["verify", "spec.yaml", "ssh://a", "--ssh-option", "x"], 2, b"'x' is not NAME=VALUE"),
        (["plan", "spec.yaml", "more"], 2, b"unexpected extra argument"),
        (["plann"], 2, b"Did you mean 'plan'?"),
        (["init", "spec.yaml"], 5, b"exists already"),
        (["init", "-"], 14, b"amigen init node-image.yaml"),
        (["plan", ""], 14, b"the name of the spec is empty"),
        (["check", "spec.yaml", ""], 14, b"the name of the spec is empty"),
        (["init", "my-nodes"], 14, b"my-nodes is not named as a spec"),
        (["init", "missing/x.yaml"], 14, b"there is no folder missing"),
        (["init", "x.yaml", "--platform", "windows"], 3, b"error: --platform: unknown value 'windows'"),
        (["init", "x.yaml", "--architecture", "amd64"], 3, b"error: --architecture: unknown value 'amd64'"),
        (["init", "x.yaml", "--kubernetes-version", "1.43"], 3, b"--mode: kube-proxy's ipvs mode"),
        (["init", "x.yaml", "--kubernetes-version", "v1.34"], 3, b"expected `MAJOR.MINOR`; did you mean 1.34?"),
        (["init", "x.yaml", *(["--platform", "al2023"] * 2)], 3, b"--platform: duplicate value: al2023; remove one"),
        (["plan", "spec.yaml", "--platform", "amazon-linux-2023"], 14, b"did you mean al2023?"),
        (["build", "spec.yaml", "--target", "local", "--architecture", "amd64"], 14, b"did you mean x86_64?"),
        (["init", "x.yaml", "--name", "No Name"], 3, b"invalid value"),
        (["init", "x.yaml", "--name", "n\ngate: true"], 14, b"a meaning in YAML"),
        (["init", "x.yaml", "--kubernetes-version", '1.34"\ngate: true #'], 14, b"a meaning in YAML"),
        (["init", "x.yaml", "--mode", "ebpf"], 2, b"'ebpf' is not one of"),
        (["verify", "local", "spec.yaml"], 2, b"spec.yaml is a spec, which comes before the targets"),
    ],
)
def test_wrong_options(arguments: list[str], code: int, words: bytes, amigen: Amigen, spec_file: SpecFile) -> None:
    """Each says what is wrong and what there is, with the code of its kind."""
    spec_file()
    done = amigen(*arguments)

    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["images", "prune", "--apply", "--dry-run"],
        ["publish", "--images-only", "--canary"],
        ["publish", "--canary-subnet", "eu-central-1=subnet-1"],
        ["build", "--target", "local", "--offline"],
        ["build"],
        ["render"],
        ["plan", "--bogus"],
        ["user-data", "explain"],
        ["user-data", "explain", "--for", "karpenter", "--show", "1", "--output", "json"],
        ["export", "eksctl", "--check"],
        ["verify", "local", "--no-reboot"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("spec", [[], ["missing.yaml"]], ids=["no spec", "missing spec"])
def test_wrong_usage_is_said_before_a_missing_spec(spec: list[str], arguments: list[str], amigen: Amigen) -> None:
    place = 1 + (arguments[0] in ("images", "export") or arguments[:2] == ["user-data", "explain"])
    done = amigen(*arguments[:place], *spec, *arguments[place:])

    assert done.returncode == 2, done.stderr
    assert b"missing.yaml: " not in done.stderr


@pytest.mark.parametrize(
    "options", [["--html", "/proc/a.html"], ["--junit", "/proc/a.xml"], ["--logs", "/proc/logs"]], ids=" ".join
)
def test_a_report_that_cannot_be_written_is_said_before_anything_starts(
    options: list[str], amigen: Amigen, spec_file: SpecFile
) -> None:
    spec_file()
    done = amigen("verify", "spec.yaml", "local", *options)

    assert (done.returncode, done.stdout) == (14, b"")
    assert b"cannot write /proc/" in done.stderr
    assert b"hint: " in done.stderr


def test_a_spec_that_cannot_be_written_is_said_before_the_cluster_is_asked(amigen: Amigen, tmp_path: Path) -> None:
    (tmp_path / "there.yaml").touch()
    for file, words in (("there.yaml", b"already exists"), ("/proc/a.yaml", b"cannot write /proc/a.yaml")):
        done = amigen("kube-proxy", "migrate", "--write-spec", file)
        assert (done.returncode, words in done.stderr) == (14, True), done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(["plan", "missing"], 14), (["plan", "--bogus"], 2), (["docs"], 0)])
def test_the_code_stays_where_nobody_reads_stderr(arguments: list[str], code: int) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        done = subprocess.run(
            [*COMMAND, *arguments], env=ENVIRONMENT, stderr=gone, stdout=subprocess.DEVNULL, timeout=300, check=False
        )

    assert done.returncode == code


def test_init_in_a_folder_that_is_not_there(amigen: Amigen) -> None:
    """The hint makes it."""
    done = amigen("init", "no such/folder/x.yaml")

    assert done.returncode == 14
    assert done.stderr == b"amigen: error: there is no folder no such/folder\n  hint: mkdir -p 'no such/folder'\n"


def test_check_says_what_user_data_has_no_room_for(amigen: Amigen, spec_file: SpecFile) -> None:
    """Room for what Karpenter and EKS add is looked at before the first node starts; a spec that joins needs none."""

    def noise(digests: int) -> dict[str, object]:
        content = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(digests))
        return {"files": [{"path": "/etc/noise", "contentBase64": base64.b64encode(content).decode()}]}

    # In the middle of what is left between the two limits: bytes that scripts win or lose do not matter.
    files, fewer, more = noise(130), noise(60), noise(600)
    tight, joined, large = (amigen("check", spec_file(*changes)) for changes in ((files,), (fewer, joins()), (more,)))

    assert tight.stdout.startswith(b"spec.yaml: warning: the user data of al2023 has 1")
    assert b"and a system that merges its NodeConfig into it adds about 2560" in tight.stdout
    assert joined.stdout == b"spec.yaml: ok\n"
    assert large.stdout.startswith(b"spec.yaml: note: the user data of al2023 is too large and is not rendered")
    assert [done.returncode for done in (tight, joined, large)] == [0, 0, 0]
    assert amigen("check", "--strict", spec_file(files)).returncode == 3


def test_init_never_overwrites(amigen: Amigen, tmp_path: Path) -> None:
    """Not a file, and not what a link points to."""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "node-image.yaml").symlink_to("target")

    assert amigen("init").returncode == 5
    assert (tmp_path / "target").read_text() == "mine"


def test_stdin(amigen: Amigen, spec_file: SpecFile, tmp_path: Path) -> None:
    """`-` reads the spec from stdin, and messages call it so."""
    text = (tmp_path / spec_file()).read_bytes()

    assert amigen("check", "-", stdin=text).stdout == b"<stdin>: ok\n"
    assert amigen("check", "-", stdin=b"a: [").stderr.startswith(b"<stdin>:")
    assert amigen("user-data", "-", stdin=text).stdout.startswith(b"MIME-Version: 1.0\n")


SHELL_CASES = {
    "reader gone": ("{command} | head -1", {141, 0}),
    "stdout closed": ("{command} >&-", {0}),
    "stderr closed": ("{command} 2>&-", {0}),
    "stdin closed": ("{command} <&-", {0}),
    "all closed": ("{command} <&- >&- 2>&-", {0}),
    "stdout full": ("{command} >/dev/full", {1}),
    "stderr full": ("{command} 2>/dev/full", {0}),
    "no locale": ("LC_ALL=C LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {command}", {0}),
    "unknown locale": ("LC_ALL=xx_YY.ISO-8859-15 {command}", {0}),
}


@pytest.mark.parametrize(
    "command", [["check"], ["plan"], ["render", "-o", "out"], ["user-data"], ["schema"]], ids=" ".join
)
@pytest.mark.parametrize("case", SHELL_CASES)
def test_streams_and_locales(case: str, command: list[str], spec_file: SpecFile, tmp_path: Path) -> None:
    """Pipes that are cut, closed or full, and terminals that know no umlauts: a code, and never a traceback."""
    file = spec_file({"files": [{"path": "/etc/ä😀", "content": "ö"}]}, name="ü.yaml")
    line, codes = SHELL_CASES[case]
    words = shlex.join([*COMMAND, *command, *([] if command == ["schema"] else [file])])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.format(command=words)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=300,
        check=False,
    )

    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode in codes, done.stderr
    assert b"cannot write to stdout: No space left on device" in done.stderr or case != "stdout full"


def test_a_closed_stdin_is_an_empty_spec(tmp_path: Path) -> None:
    """`amigen check - <&-` has nothing to read."""
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(COMMAND)} check - <&-"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, b"is empty" in done.stderr) == (3, True)


def tree(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@needs_root
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_disk_that_takes_nothing(kind: str, spec_file: SpecFile, amigen: Amigen, tmp_path: Path) -> None:
    """A file system of 200 KB, or one that is read-only: the old state stays, the message names the reason."""
    spec_file(name="one.yaml")
    more = [{"path": f"/etc/{n}", "content": f"{n}\n" * 4000} for n in range(9)]
    spec_file({"files": more}, name="two.yaml")
    render = shlex.join([*COMMAND, "render"])
    script = f"""
        set -e
        mkdir disk && mount -t tmpfs -o size=220k tmpfs disk
        {render} one.yaml -o disk/out >/dev/null
        cp -r disk/out before
        {"mount -o remount,ro disk" if kind == "read-only" else ":"}
        code=0; {render} two.yaml -o disk/out || code=$?
        diff -r before disk/out >&2
        ls -A disk >&2
        exit $code
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=300,
        check=False,
    )
    words = {"full": b"No space left on device", "read-only": b"Read-only file system"}[kind]

    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert words + b": " + bytes(tmp_path / "disk/out") in done.stderr
    assert done.stderr.endswith(b"\nout\n"), done.stderr


@needs_root
def test_init_on_a_full_disk_leaves_no_empty_file(tmp_path: Path) -> None:
    """The next run would not overwrite it."""
    script = f"""
        mkdir disk && mount -t tmpfs -o size=4k tmpfs disk && head -c 4096 /dev/zero >disk/x
        {shlex.join(COMMAND)} init disk/spec.yaml; echo "code $?"; ls disk
    """
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert done.stdout == b"code 1\nx\n", done.stderr
    assert b"No space left on device: disk/spec.yaml" in done.stderr


def test_a_killed_render_leaves_the_old_state_or_the_new(spec_file: SpecFile, amigen: Amigen, tmp_path: Path) -> None:
    """SIGKILL at spread moments; the next run ends with what the spec says."""
    one, two = spec_file(name="one.yaml"), spec_file({"platforms": ["ubuntu-24.04", "debian-12"]}, name="two.yaml")
    amigen("render", two, "-o", "new")
    amigen("render", one, "-o", "old")
    old, new = tree(tmp_path / "old"), tree(tmp_path / "new")
    times = []
    for _ in range(2):
        started = time.monotonic()
        amigen("render", one, "-o", "out", fresh=True)
        times.append(time.monotonic() - started)
    cut = 0
    for part in range(1, 9):
        amigen("render", one, "-o", "out")
        with subprocess.Popen(
            [*COMMAND, "render", two, "-o", "out"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as process:
            time.sleep(min(times) * (0.2 + part / 10))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            cut += process.returncode < 0
        assert tree(tmp_path / "out") in (old, new)
    assert amigen("render", two, "-o", "out").returncode == 0
    assert tree(tmp_path / "out") == new
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert cut > 0


def test_two_renders_at_once(spec_file: SpecFile, tmp_path: Path) -> None:
    """They take turns: both end well, and the folder is what one of them says, whole."""
    names = [
        spec_file({"name": f"n{n}", "platforms": [p]}, name=f"{n}.yaml") for n, p in enumerate(("al2023", "debian-12"))
    ]
    for name in names:
        subprocess.run([*COMMAND, "render", name, "-o", f"of-{name}"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    both = [
        subprocess.Popen([*COMMAND, "render", name, "-o", "out"], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE)
        for name in names * 2
    ]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in both]

    assert ends == [(b"", 0)] * 4
    assert tree(tmp_path / "out") in [tree(tmp_path / f"of-{name}") for name in names]


def test_the_schema_is_that_of_the_examples(amigen: Amigen, tmp_path: Path) -> None:
    """`amigen schema > FILE`, then check-jsonschema on all examples, and on one that is wrong."""
    import sys

    (tmp_path / "schema.json").write_bytes(amigen("schema").stdout)
    judge = [sys.executable, "-m", "check_jsonschema", "--schemafile", "schema.json"]
    good = subprocess.run([*judge, *map(str, EXAMPLES)], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    (tmp_path / "bad.yaml").write_text("apiVersion: amigen/v1alpha1\nkind: NodeImage\n")
    bad = subprocess.run([*judge, "bad.yaml"], cwd=tmp_path, capture_output=True, timeout=120, check=False)

    assert (good.returncode, bad.returncode) == (0, 1), good.stdout


def test_messages_hold_nothing_that_a_terminal_obeys(amigen: Amigen, spec_file: SpecFile) -> None:
    """Neither from a spec nor from the name of a file."""
    spec_file(joins(), name="\x1b]0;x\x07.yaml")
    for arguments in (["check", "\x1b]0;x\x07.yaml"], ["plan", "\x1b[31mmissing"], ["check", "-"]):
        done = amigen(*arguments, stdin=b'x: !%1b[31m y\n"\\e[31m": 1\n')
        assert b"\x1b" not in done.stdout + done.stderr


def test_verify_says_why_it_takes_no_spec_of_the_folder(amigen: Amigen, spec_file: SpecFile) -> None:
    """It would otherwise miss a target that is there."""
    Path(amigen.keywords["cwd"], "disk.qcow2").touch()  # type: ignore[attr-defined]
    assert b"no spec" in amigen("verify", "disk.qcow2").stderr
    spec_file(name="a.yaml")
    spec_file(name="b.yaml")
    assert b"several specs: a.yaml, b.yaml" in amigen("verify", "disk.qcow2").stderr
