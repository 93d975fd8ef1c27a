"""User data that amigen makes, read by cloud-init's own code."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import gzip
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from amigen.base import quoting
from amigen.base.errors import InputError, SizeError
from amigen.base.gzipped import gzip as pack
from amigen.plan.make import plan_image
from amigen.plan.model import ImagePlan
from amigen.scripts.bootstrap import bootstrap_script
from amigen.userdata import mime
from amigen.userdata import packed as packed_script
from amigen.userdata.document import parse
from amigen.userdata.make import user_data
from amigen.userdata.mime import Part
from amigen.userdata.own import SCRIPT_NAME
from amigen.userdata.size import LIMIT
from tests.specs import joins, spec
from tests.userdata.conftest import Left, Seen

CloudInit = Callable[[bytes], list[Seen]]
UBUNTU: dict[str, Any] = {"platforms": ["ubuntu-24.04"]}
SHELL = b"#!/bin/sh\necho 'mine'\n"
CONFIG = b"#cloud-config\npackages: [htop]\n"
NODE = b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    flags: [--v=3]\n"
BULK = {"files": [{"path": f"/etc/{n}", "content": f"line {n}\n" * 900} for n in range(4)]}


def noise(size: int) -> dict[str, Any]:
    """A file that gzip cannot make smaller."""
    import hashlib

    content = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size // 32))
    return {"files": [{"path": "/etc/noise", "contentBase64": base64.b64encode(content).decode()}]}


def plan(*changes: dict[str, Any]) -> ImagePlan:
    made = spec(*changes)
    return plan_image(made, made.platforms[0])


def script(made: ImagePlan) -> bytes:
    return bootstrap_script(made, user_data=True).encode()


def inside(content: bytes) -> bytes:
    """The script, whether it unpacks itself or not."""
    return packed_script.unpack(content) or content


FOREIGN: dict[str, Any] = {
    "files": [*BULK["files"], {"path": "/etc/ä 'ö'", "content": "ä😀'\n"}],
    "hooks": {"after": [{"name": "a", "script": "echo 'ü'"}]},
}


@pytest.mark.parametrize(
    "change",
    [{}, joins(), BULK, {**joins(), **BULK}, {"files": [{"path": "/etc/ä", "content": "ä😀"}]}, {**joins(), **FOREIGN}],
    ids=["minimal", "joins", "bulk", "joins with bulk", "not ASCII", "joins, not ASCII, with bulk"],
)
def test_cloud_init_gets_the_script_to_the_byte(change: dict[str, Any], cloud_init: CloudInit) -> None:
    """Plain or unpacked, it is the very script again."""
    made = plan(change)
    seen = cloud_init(user_data(made, format_="mime"))

    assert (mime.SHELL, SCRIPT_NAME, script(made)) == (seen[0].type, seen[0].filename, inside(seen[0].content))
    assert ["application/node.eks.aws"] * bool(change.get("join")) == [part.type for part in seen[1:]]


@pytest.mark.parametrize("packed", [False, True])
def test_cloud_init_runs_the_shell_format(packed: bool, cloud_init: CloudInit) -> None:
    """One script, with or without gzip around it."""
    made = plan(UBUNTU, {"gate": False})
    (seen,) = cloud_init(user_data(made, format_="shell", gzip_=packed))

    assert ("text/x-shellscript", script(made)) == (seen.type, seen.content)


@pytest.mark.parametrize("change", [UBUNTU, {**UBUNTU, "files": [{"path": "/etc/ä", "content": 'ä😀\t\\ " %{x}'}]}])
def test_cloud_config_is_valid_and_carries_the_script(
    change: dict[str, Any], cloud_init: CloudInit, cloud_init_leaves: Callable[[bytes], Left]
) -> None:
    """cloud-init's own schema takes it, and its file is the script."""
    made = plan(change, {"gate": False})
    document = user_data(made, format_="cloud-config")
    (seen,) = cloud_init(document)
    (file,) = yaml.safe_load(seen.content)["write_files"]

    assert ("text/cloud-config", script(made).decode()) == (seen.type, file["content"])
    assert cloud_init_leaves(document).schema == ""


@pytest.mark.parametrize(
    ("existing", "types"),
    [
        (SHELL, [mime.SHELL, mime.SHELL, mime.NODE_CONFIG]),
        (CONFIG, [mime.CLOUD_CONFIG, mime.SHELL, mime.NODE_CONFIG]),
        (NODE, [mime.SHELL, mime.NODE_CONFIG, mime.NODE_CONFIG]),
        (gzip.compress(SHELL), [mime.SHELL, mime.SHELL, mime.NODE_CONFIG]),
        (base64.b64encode(CONFIG), [mime.CLOUD_CONFIG, mime.SHELL, mime.NODE_CONFIG]),
        (base64.encodebytes(gzip.compress(CONFIG)), [mime.CLOUD_CONFIG, mime.SHELL, mime.NODE_CONFIG]),
        (
            mime.write(tuple(Part(type=t, content=c) for t, c in ((mime.NODE_CONFIG, NODE), (mime.SHELL, SHELL), (mime.CLOUD_CONFIG, CONFIG)))),
            [mime.CLOUD_CONFIG, mime.SHELL, mime.SHELL, mime.NODE_CONFIG, mime.NODE_CONFIG],
        ),
    ],
    ids=["shell", "cloud-config", "NodeConfig", "gzip", "base64", "gzip in base64", "mime"],
)  # fmt: skip
def test_merge_puts_each_part_in_its_place(existing: bytes, types: list[str], cloud_init: CloudInit) -> None:
    """cloud-config first, amigen's script, the user's scripts, NodeConfigs with the spec's last; contents unchanged."""
    made = plan(joins())
    seen = cloud_init(user_data(made, merge=existing))

    assert types == [part.type for part in seen]
    contents = [part.content for part in seen]
    assert script(made) == inside(contents[[part.filename for part in seen].index(SCRIPT_NAME)])
    assert yaml.safe_load(contents[-1])["spec"]["cluster"]["name"] == "web"
    mine = [c for t, c in (("shell", SHELL), (mime.CLOUD_CONFIG, CONFIG), (mime.NODE_CONFIG, NODE)) if c in contents]
    assert len(types) - 2 == len(mine)


def test_scripts_run_in_the_order_of_the_parts(cloud_init: CloudInit) -> None:
    """cloud-init runs scripts by name: the name of amigen's sorts before those that cloud-init gives."""
    names = [part.filename for part in cloud_init(user_data(plan(joins()), merge=SHELL)) if part.type == mime.SHELL]

    assert names == sorted(names)
    assert names[0] == SCRIPT_NAME


@pytest.mark.parametrize("name", ['a"b.sh', "a\nX-Evil: 1.sh", "ä.sh", "../../x", "a\r\nb"])
def test_a_name_of_a_merged_part_cannot_leave_its_header(name: str) -> None:
    """A file name from somebody else's MIME holds what it likes."""
    document = mime.write((Part(type=mime.SHELL, content=SHELL, filename=name),))

    assert tuple((p.type, p.content) for p in parse(document).parts) == ((mime.SHELL, SHELL),)
    assert b"X-Evil: 1" not in document.split(b"\n\n")[1].split(b"filename=")[0]
    assert document.count(b"\nContent-Disposition: ") == 1
    assert b"\nX-Evil" not in document


@pytest.mark.parametrize("existing", [b"\x1f\x8bbroken", b"hello\n", b"Content-Type: multipart/mixed\n\nx\n"])
def test_merge_refuses_what_a_node_could_not_read(existing: bytes) -> None:
    """One error that says why."""
    with pytest.raises(InputError, match="user data cannot be used"):
        user_data(plan(joins()), merge=existing)


@pytest.mark.parametrize("format_", ["shell", "cloud-config"])
def test_a_format_that_cannot_carry_it(format_: Any) -> None:
    """A NodeConfig needs MIME."""
    with pytest.raises(InputError, match="cannot carry the NodeConfig"):
        user_data(plan(joins()), format_=format_)


def test_user_data_is_ascii() -> None:
    """cloud-init garbles anything else in a part that it unpacks; bash reads the same words out of it."""
    made = plan(joins(), FOREIGN)
    said = subprocess.run(
        ["bash", "-c", quoting.ascii_only(f"printf %s {quoting.sh(FOREIGN['files'][-1]['path'])}")],
        capture_output=True,
        check=True,
        timeout=300,
    )

    assert script(made).isascii()
    assert FOREIGN["files"][-1]["path"] == said.stdout.decode()


@pytest.mark.parametrize("change", [{}, joins(), UBUNTU])
def test_what_cannot_be_packed_names_the_sizes(change: dict[str, Any]) -> None:
    """The error lists each part with its bytes."""
    made = plan(change, noise(20_000))
    with pytest.raises(SizeError, match=r"EC2 takes 16384") as caught:
        user_data(made)

    assert f"{len(script(made))} bytes" in str(caught.value)
    assert "bake files and hooks into the image" in str(caught.value)


def test_exactly_the_limit_is_allowed() -> None:
    """16384 bytes pass, one more does not."""
    from amigen.userdata.make import _fit

    def document(size: int) -> bytes:
        return _fit((Part(type=mime.SHELL, content=b"x" * size),), "shell", gzip_=False, reserve=0)

    assert len(document(LIMIT)) == LIMIT
    with pytest.raises(SizeError):
        document(LIMIT + 1)


def test_gzip_has_no_time_and_no_name() -> None:
    """The same bytes at every time, and any gzip reads them."""
    packed = pack(b"x" * 1000)

    assert packed[4:8] == b"\0" * 4
    assert packed[3] == 0
    assert gzip.decompress(packed) == b"x" * 1000


def test_the_boundary_occurs_in_no_part() -> None:
    """Even where a part holds the boundary that would have been chosen."""
    part = Part(type=mime.SHELL, content=b"#!/bin/sh\n", filename="a")
    first = mime.write((part,)).split(b'"')[1]
    trap = Part(type=mime.SHELL, content=b"#!/bin/sh\n--" + first + b"\n--==amigen", filename="a")

    assert (trap.content,) == tuple(p.content for p in parse(mime.write((trap,))).parts)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a", b"a\n", b"a\n\n", b"a\r\nb", b"\0", b"--x--\n", "ä".encode(), b"From x\n", b"x" * 2000],
)
@pytest.mark.parametrize("type_", [mime.CLOUD_CONFIG, mime.BOOTHOOK])
def test_a_part_is_read_as_it_was_written(content: bytes, type_: str) -> None:
    """No byte of it changes, line ends at its end included."""
    document = mime.write((Part(type=type_, content=content), Part(type=type_, content=content)))

    assert [content, content] == [part.content for part in parse(document).parts]


def test_indented_headers_do_not_hang() -> None:
    """The NodeConfig of a large cluster looks like headers with continuation lines; it took exponential time once."""
    config = NODE + b"".join(b"      indented: %d\n" % n for n in range(400))

    assert mime.detect(config) == mime.NODE_CONFIG
    assert not mime.is_multipart(config)
