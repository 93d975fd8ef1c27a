"""The script that unpacks itself: what runs, what a person reads, and what is said where it cannot be unpacked."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from amigen.base.gzipped import gzip
from amigen.plan.make import plan_image
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.load import load_spec
from amigen.userdata import mime, packed
from amigen.userdata.arrival import merged_by_karpenter
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import make, user_data
from amigen.userdata.mime import Part
from amigen.userdata.own import SCRIPT_NAME
from amigen.userdata.size import LIMIT
from amigen.userdata.systems import SYSTEMS
from tests.specs import EXAMPLES, joins
from tests.userdata.conftest import SYSTEM_PYTHON, Left
from tests.userdata.test_documents import BULK, UBUNTU, noise, plan, script

Leaves = Callable[[bytes], Left]
INSIDE = b'#!/usr/bin/env bash\necho "ran as ${0##*/} with $*"\nexit 7\n' + b"# a long comment\n" * 200


def part(content: bytes = INSIDE, name: str = "00-mine.sh") -> Part:
    return Part(type=mime.SHELL, content=content, filename=name)


def on_disk(folder: Path, content: bytes) -> Path:
    """The packed script as a file, with the node's folders below `folder`."""
    script = folder / "script"
    script.write_bytes(
        content.replace(b"/var/lib/amigen", str(folder / "state").encode()).replace(
            b"/run/amigen", str(folder / "run").encode()
        )
    )
    script.chmod(0o700)
    return script


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_it_runs_what_is_inside(tmp_path: Path) -> None:
    """Its output, its arguments and its end are those of the script inside, which stays on the disk to be read."""
    done = run(on_disk(tmp_path, packed.pack(part()).content), "a", "b c")

    assert (done.returncode, done.stdout, done.stderr) == (7, "ran as 00-mine.sh with a b c\n", "")
    assert (tmp_path / "state/unpacked/00-mine.sh").read_bytes() == INSIDE
    assert (tmp_path / "state/unpacked/00-mine.sh").stat().st_mode & 0o777 == 0o700


def test_a_second_run_unpacks_nothing(tmp_path: Path) -> None:
    """What is there already is only run."""
    script = on_disk(tmp_path, packed.pack(part()).content)
    run(script)
    file = tmp_path / "state/unpacked/00-mine.sh"
    before = file.stat()
    done = run(script)

    assert (done.returncode, file.stat().st_mtime_ns) == (7, before.st_mtime_ns)


@pytest.mark.parametrize("change", ["cut", "other", "more"])
def test_what_is_not_what_was_packed_does_not_run(tmp_path: Path, change: str) -> None:
    """One clear line; nothing of it is left on the disk."""
    text = packed.pack(part()).content
    payload = text.split(b"| head -c %d\n" % len(INSIDE))[1].split(b"\nPACKED\n")[0]
    other = {
        "cut": payload[:100],
        "other": base64.encodebytes(gzip(INSIDE.replace(b"exit 7", b"exit 0"))).rstrip(b"\n"),
        "more": base64.encodebytes(gzip(b"#" + b"\0" * 5_000_000)).rstrip(b"\n"),
    }[change]
    done = run(on_disk(tmp_path, text.replace(payload, other)))
    assert done.returncode == 1
    said = f"amigen: FAILED: cannot unpack the user data to {tmp_path}/state/unpacked/00-mine.sh: "
    assert done.stdout.splitlines()[-1].startswith(said)
    assert not (tmp_path / "state/unpacked/00-mine.sh").exists()


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A file in the place of a folder stands for it: root writes everywhere else."""
    (tmp_path / "state").write_text("")
    done = run(on_disk(tmp_path, packed.pack(part()).content))

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("is the disk full or read-only?")


def test_the_comment_says_how_to_read_it(tmp_path: Path) -> None:
    """Its own command, in a shell, prints what is inside."""
    script = tmp_path / "THIS_FILE"
    script.write_bytes(packed.pack(part()).content)
    (command,) = [line for line in script.read_text().splitlines() if line.startswith("# To read it: ")]
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("# To read it: ")],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=300,
    )

    assert done.stdout == INSIDE


@pytest.mark.parametrize("tool", [["bash", "-n"], ["shellcheck", "--norc"], ["shfmt", "-d"]], ids=" ".join)
@pytest.mark.parametrize("name", ["00-mine.sh", "", "a b;$(c).sh"])
def test_tools_find_nothing(tmp_path: Path, tool: list[str], name: str) -> None:
    """It is what a careful person would write."""
    if not shutil.which(tool[0]):
        pytest.skip(f"needs {tool[0]}")
    (tmp_path / "script.sh").write_bytes(packed.pack(part(name=name)).content)
    done = subprocess.run([*tool, "script.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_read_back() -> None:
    """explain, merge and diffs show what is inside."""
    (found,) = parse(mime.write((packed.pack(part()),))).parts

    assert (found.content, found.filename, found.wrapped) == (INSIDE, "00-mine.sh", ("self-unpacking",))
    assert parse(packed.pack(part()).content).parts[0].content == INSIDE
    assert packed.pack(packed.pack(part())) == packed.pack(part())


@pytest.mark.parametrize("cut", [b"PACKED\n}", b"base64 -d", b"H4sI"])
def test_a_broken_one_is_told(cut: bytes) -> None:
    """A payload that is gone or garbled is an error, and no traceback."""
    document = parse(packed.pack(part()).content.replace(cut, b"x"))

    assert [problem.severity for problem in document.problems] == ["error"]
    assert "packed script" in document.problems[0].message or "gzip" in document.problems[0].message


@pytest.mark.parametrize("content", ["#!/bin/sh\necho 'ä😀'\n".encode(), b"#!/bin/sh\r\necho hi\r\n"])
def test_a_script_that_no_plain_part_can_hold(content: bytes, cloud_init_leaves: Leaves) -> None:
    """More than ASCII is packed whatever its size; DOS line ends are as cloud-init would write them."""
    document = user_data(plan(joins()), merge=content)
    for arrived in (document, merged_by_karpenter(document)):
        left = cloud_init_leaves(arrived)
        assert left.error == ""
        script = left.scripts[1][1]
        assert (packed.unpack(script) or script).rstrip() == content.replace(b"\r\n", b"\n").rstrip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_arrives_through_karpenter(path: Path, cloud_init_leaves: Leaves) -> None:
    """Plain or packed, cloud-init finds the bootstrap script, behind what Karpenter keeps of it."""
    image = load_spec(path)
    for platform in image.platforms:
        made = plan_image(image, platform)
        document = user_data(made, format_="mime")
        left = cloud_init_leaves(merged_by_karpenter(document))
        (name, content) = left.scripts[0]
        inside = packed.unpack(content) or content

        assert (left.error, len(left.scripts), name) == ("", 1, "part-001")
        assert inside.rstrip() == bootstrap_script(made, user_data=True).encode().rstrip()


def test_the_eks_example_has_a_certificate_of_real_size() -> None:
    """EKS's certificate authorities are RSA-2048; with one of them the plain document is over the limit."""
    (path,) = [path for path in EXAMPLES if path.stem == "eks-al2023-ipvs"]
    image = load_spec(path)
    assert image.join.eks
    assert len(image.join.eks.certificate_authority) >= 1400
    document = user_data(plan_image(image, "al2023"))
    for system in ("managed-node-group", "karpenter", "self-managed"):
        assert [p for p in explain(document, system).problems if p.severity == "error"] == []


# Small enough to be plain.
GATELESS = {"gate": False, "kubeProxy": {"mode": "iptables"}}


def test_the_most_readable_form_that_fits() -> None:
    """Plain while it leaves room for what others add; then amigen's script packed, then all scripts."""
    big = b"#!/bin/sh\n" + b"echo 'line of a long script of somebody else'\n" * 300
    forms = [
        [part.wrapped for part in parse(user_data(plan(change), format_="mime", merge=mine)).parts]
        for change, mine in ((GATELESS, b""), (BULK, b""), ({}, big))
    ]

    assert forms == [[()], [("self-unpacking",)], [("self-unpacking",), ("self-unpacking",)]]


@pytest.mark.parametrize("format_", ["shell", "cloud-config"])
def test_other_formats_stay_text(format_: str) -> None:
    """Over the limit, and yet something that a template of other tools can hold."""
    document = user_data(plan(UBUNTU, BULK), format_=format_)  # type: ignore[arg-type]

    assert len(document) <= LIMIT
    assert document.isascii()
    assert parse(document).problems == ()


def test_packed_cloud_config_is_valid_and_carries_the_script(
    cloud_init_environment: dict[str, str], cloud_init_leaves: Leaves
) -> None:
    """cloud-init's own schema takes it, and its own code unpacks the file."""
    made = plan(UBUNTU, BULK)
    document = user_data(made, format_="cloud-config")
    (file,) = yaml.safe_load(document)["write_files"]
    code = (
        "import sys; from cloudinit.config import cc_write_files as w;"
        "kinds = w.canonicalize_extraction(sys.argv[1]);"
        "sys.stdout.buffer.write(w.extract_contents(sys.stdin.read(), kinds))"
    )
    unpacked = subprocess.run(
        [SYSTEM_PYTHON, "-c", code, file["encoding"]],
        input=file["content"].encode(), capture_output=True, timeout=300, check=True, env=cloud_init_environment,
    )  # fmt: skip

    assert cloud_init_leaves(document).schema == ""
    assert unpacked.stdout == script(made)


def test_room_for_what_a_system_adds() -> None:
    """A spec that does not join by itself is warned where the NodeConfig of the system may not fit; others are not."""
    reserve = SYSTEMS["karpenter"].adds_most
    alone, joined = make(plan(noise(4800))), make(plan(noise(4500), joins()))

    assert LIMIT - reserve < len(alone.content) <= LIMIT
    assert LIMIT - reserve < len(joined.content) <= LIMIT
    assert [(note.severity, str(reserve) in note.message) for note in alone.notes] == [("warning", True)]
    assert (make(plan()).notes, joined.notes) == ((), ())


def test_no_gzip_packs_nothing() -> None:
    """The plain form, or an error that names what would help."""
    from amigen.base.errors import SizeError

    with pytest.raises(SizeError, match="EC2 takes 16384") as caught:
        user_data(plan(joins(), BULK), gzip_=False)
    assert "--gzip, where the nodes are self-managed" in str(caught.value)
    assert SCRIPT_NAME in str(caught.value)


def test_another_zlib_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that a colleague rendered is up to date; a script with another content is not."""
    import zlib

    from amigen.render.artifacts import artifacts
    from amigen.render.folder import compare, write

    spec = plan(joins(), BULK).spec
    mine = artifacts(spec)
    write(tmp_path / "out", mine)
    file = tmp_path / "out/al2023/user-data.mime"

    def other(content: bytes) -> bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return packer.compress(content) + packer.flush()

    monkeypatch.setattr("amigen.userdata.packed.gzip", other)
    theirs = artifacts(spec)
    assert {artifact.path for artifact in theirs if artifact not in mine} == {"al2023/user-data.mime"}
    assert compare(tmp_path / "out", theirs).changes == ()

    for changed in (b"umask 027", b"umask 07"):
        file.write_bytes(file.read_bytes().replace(b"umask 077", changed))
        assert [change.path for change in compare(tmp_path / "out", theirs).changes] == ["al2023/user-data.mime"]
    payload = file.read_bytes().split(b"\nH4sI")[1][:40]
    file.write_bytes(
        mine[[a.path for a in mine].index("al2023/user-data.mime")].content.replace(payload, payload[::-1])
    )
    assert [change.path for change in compare(tmp_path / "out", theirs).changes] == ["al2023/user-data.mime"]
