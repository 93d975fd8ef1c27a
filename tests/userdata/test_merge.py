"""Existing user data beside amigen's: what runs on the node, in which order, as cloud-init's own handlers judge."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from amigen.userdata import mime, packed
from amigen.userdata.arrival import merged_by_karpenter
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import make, user_data
from amigen.userdata.mime import Part
from amigen.userdata.own import NODE_CONFIG_NAME, SCRIPT_NAME, SCRIPT_PATH
from tests.command import run
from tests.specs import joins, mapping
from tests.userdata.conftest import Left
from tests.userdata.test_documents import BULK, NODE, SHELL, plan, script

Leaves = Callable[[bytes], Left]
OTHER = {"packages": [{"name": "jq"}]}


def named(*names: str) -> bytes:
    """A document of scripts that say their names."""
    return mime.write(
        tuple(Part(type=mime.SHELL, content=b"#!/bin/sh\necho %s\n" % n.encode(), filename=n) for n in names)
    )


def said(left: Left) -> list[str]:
    """Which scripts ran, by what they are."""
    out = []
    for _, content in left.scripts:
        content = packed.unpack(content) or content
        own = content.startswith(b"#!/usr/bin/env bash\n# amigen ")
        out.append("amigen" if own else content.split()[-1].decode())
    return out


@pytest.mark.parametrize("change", [{}, joins()], ids=["alone", "joins"])
def test_merged_again_it_is_the_same(change: dict[str, object]) -> None:
    """What an earlier amigen made is replaced, and never stands there twice."""
    old = user_data(plan(change, OTHER), merge=named("mine.sh") if change else b"")
    once = user_data(plan(change), merge=old)

    assert once == user_data(plan(change), merge=once)
    assert [part.filename for part in parse(once).parts].count(SCRIPT_NAME) == 1


def test_the_new_script_runs_and_not_the_old_one(cloud_init_leaves: Leaves) -> None:
    """Two parts of one name would be one file, and the last of them would win."""
    old = user_data(plan(joins(), OTHER), merge=SHELL)
    made = plan(joins(flags=["--v=4"]))
    document = user_data(made, merge=old)
    left = cloud_init_leaves(document)
    configs = [yaml.safe_load(p.content) for p in parse(document).parts if p.type == mime.NODE_CONFIG]

    assert (packed.unpack(left.scripts[0][1]) or left.scripts[0][1]).rstrip() == script(made).rstrip()
    assert said(left)[1:] == ["'mine'"]
    assert [config["spec"]["kubelet"]["flags"] for config in configs] == [["--v=4"]]


def test_a_script_of_amigen_is_known_without_its_name() -> None:
    """The shell format has none, and neither has what came back from Karpenter."""
    alone = user_data(plan(OTHER), format_="shell")
    back = merged_by_karpenter(user_data(plan(OTHER)))

    for old in (alone, back):
        assert [part.origin for part in parse(user_data(plan(), merge=old)).parts if part.type == mime.SHELL] == [
            "yours"
        ]
        assert parse(user_data(plan(), merge=old)).parts[0].content == script(plan())


def test_a_spec_that_no_longer_joins_leaves_no_node_config_behind() -> None:
    """amigen's own NodeConfig goes with the join; somebody else's stays."""
    old = user_data(plan(joins()), merge=NODE)
    configs = [part for part in parse(user_data(plan(), merge=old)).parts if part.type == mime.NODE_CONFIG]

    assert [part.content for part in configs] == [NODE]
    assert NODE_CONFIG_NAME in [part.filename for part in parse(old).parts]


@pytest.mark.parametrize(
    "names",
    [
        ("00-aaa.sh",),
        ("00-aaa.sh", "99-last.sh"),
        ("99-last.sh", "00-aaa.sh"),
        ("0.sh", "-.sh", "00-amigen-b", "zz.sh"),
        ("../00-a.sh", "00-amigen-bootstrap.sh-0", "10-x.sh"),
        ("(a).sh", "part-000", "part-001x"),
    ],
)
def test_amigens_script_runs_first(names: tuple[str, ...], cloud_init_leaves: Leaves) -> None:
    """Whatever the others are called; and they keep their order, also where Karpenter forgets the names."""
    alone = said(cloud_init_leaves(named(*names)))
    document = user_data(plan(), merge=named(*names))

    assert said(cloud_init_leaves(document)) == ["amigen", *alone]
    assert said(cloud_init_leaves(merged_by_karpenter(document))) == ["amigen", *alone]


def test_a_new_name_is_told() -> None:
    """Nobody is to look for a file in vain."""
    notes = make(plan(), merge=named("00-aaa.sh", "99-last.sh")).notes

    assert [(note.severity, note.message) for note in notes] == [
        ("note", f"00-aaa.sh would run before {SCRIPT_NAME}: it is now called {SCRIPT_NAME}-00-aaa.sh")
    ]


@pytest.mark.parametrize("when", ["per-once", "per-boot", "per-instance"])
def test_scripts_by_frequency_are_told(when: str, cloud_init_leaves: Leaves) -> None:
    """cloud-init puts them elsewhere, and runs them before all scripts of the user data."""
    existing = mime.write((Part(type=f"text/x-shellscript-{when}", content=SHELL, filename="x.sh"),))
    made = make(plan(), merge=existing)
    left = cloud_init_leaves(made.content)

    assert ([name for name, _ in left.early], said(left)) == (["x.sh"], ["amigen"])
    assert [(note.severity, note.message) for note in made.notes] == [
        ("warning", f"text/x-shellscript-{when} x.sh runs before amigen's {SCRIPT_NAME}: modules are not there yet")
    ]


@pytest.mark.parametrize("header", ["Merge-Type", "X-Merge-Type"])
def test_how_cloud_config_merges_is_kept(header: str, cloud_init_leaves: Leaves) -> None:
    """The parts have the effect that they had alone."""
    existing = (
        b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="OUT"\n\n'
        b"--OUT\nContent-Type: text/cloud-config\n\n#cloud-config\npackages: [htop]\n\n"
        b"--OUT\nContent-Type: text/cloud-config\n"
        + f"{header}: list(append)+dict(recurse_array)+str()\n".encode()
        + b"\n#cloud-config\npackages: [jq]\n\n--OUT--\n"
    )
    alone = cloud_init_leaves(existing).config

    assert alone == {"packages": ["htop", "jq"]}
    assert cloud_init_leaves(user_data(plan(joins()), merge=existing)).config == alone


def test_a_header_cannot_become_two() -> None:
    """Folded, or with what ends a line, it is one line again."""
    part = Part(type=mime.CLOUD_CONFIG, content=b"#cloud-config\n{}\n", headers=(("X-A", "b\r\n Evil: 1\nc: ü"),))
    (found,) = parse(mime.write((part,))).parts

    assert found.headers == (("X-A", "b Evil: 1 c:"),)
    assert found.content == part.content


def test_notes_are_on_stderr(tmp_path: Path) -> None:
    """stdout holds the document alone."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping()))
    (tmp_path / "mine").write_bytes(named("00-aaa.sh"))
    done = run("user-data", "spec.yaml", "--merge", "mine", cwd=tmp_path, code=0)

    assert done.stdout.startswith(b"MIME-Version: 1.0\n")
    assert done.stderr.startswith(b"note: 00-aaa.sh would run before")


def test_parts_for_terraform_are_those_of_the_document(tmp_path: Path) -> None:
    """terraform-aws-eks takes them as `cloudinit_pre_nodeadm`."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping(joins())))
    (tmp_path / "mine").write_bytes(named("99-last.sh"))
    command = partial(run, "user-data", "spec.yaml", "--merge", "mine", "--format", cwd=tmp_path)
    mime_, parts = (command(form, code=0).stdout for form in ("mime", "parts"))
    listed = yaml.safe_load(parts)

    assert [(p["content_type"], p["filename"]) for p in listed] == [(p.type, p.filename) for p in parse(mime_).parts]
    assert all(p["content"].strip() for p in listed)
    assert b"leave out --gzip" in command("parts", "--gzip", code=14).stderr


THEIRS = b"#cloud-config\npackages: [htop]\nruncmd: [[echo, theirs]]\nwrite_files: [{path: /etc/x, content: x}]\n"


@pytest.mark.parametrize("change", [{"gate": False}, BULK], ids=["plain", "packed"])
def test_the_cloud_config_format_survives_a_cloud_config_before_it(
    change: dict[str, object], cloud_init_leaves: Leaves
) -> None:
    """amigen's commands come first, and nothing of either is lost; behind it, without merge_how, explain warns."""
    mine = user_data(plan({"platforms": ["ubuntu-24.04"]}, change), format_="cloud-config")
    parts = tuple(Part(type=mime.CLOUD_CONFIG, content=content) for content in (THEIRS, mine))
    both, other = mime.write(parts), mime.write(parts[::-1])
    left = cloud_init_leaves(both)

    assert left.config["runcmd"] == [["bash", SCRIPT_PATH], ["echo", "theirs"]]
    assert [file["path"] for file in left.config["write_files"]] == [SCRIPT_PATH, "/etc/x"]
    assert (left.config["packages"], left.schema, left.error) == (["htop"], "", "")
    assert [p.rule for p in explain(both, "self-managed", nodeadm=False).problems if p.rule == "replaced"] == []
    assert cloud_init_leaves(other).config["runcmd"] == [["echo", "theirs"]]
    assert "replaced" in [p.rule for p in explain(other, "self-managed", nodeadm=False).problems]


@pytest.mark.parametrize("change", [{"gate": False}, BULK], ids=["plain", "packed"])
@pytest.mark.parametrize("merge_how", [True, False], ids=["today", "before merge_how"])
def test_an_earlier_cloud_config_of_amigen_is_replaced(change: dict[str, object], merge_how: bool) -> None:
    old = user_data(plan({"platforms": ["ubuntu-24.04"]}, change), format_="cloud-config")
    if not merge_how:
        config = json.loads(old.partition(b"\n")[2])
        del config["merge_how"]
        old = b"#cloud-config\n" + json.dumps(config, indent=1).encode()
    alone = make(plan(), merge=old)
    both = make(plan(), merge=mime.write(tuple(Part(type=mime.CLOUD_CONFIG, content=c) for c in (THEIRS, old))))

    assert [part.type for part in parse(alone.content).parts] == [mime.SHELL]
    assert parse(both.content).parts[0].content == THEIRS
    assert [part.type for part in parse(both.content).parts] == [mime.CLOUD_CONFIG, mime.SHELL]
    assert [note.message for note in alone.notes] == ["the parts that an earlier amigen made are replaced"]


@pytest.mark.parametrize(("change", "keys"), [({}, 2), ({"platforms": ["debian-12"]}, 1)], ids=["mime", "shell"])
def test_external_is_what_terraform_takes(change: dict[str, object], keys: int, tmp_path: Path) -> None:
    """A JSON object whose values are all text, for a program that gets a query on stdin."""
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping(change)))
    said, document, parts = (
        run("user-data", "spec.yaml", *more, cwd=tmp_path, stdin=b"{}", code=0).stdout
        for more in (("--format", "external"), (), ("--format", "parts"))
    )
    found = json.loads(said)

    assert {type(value) for value in found.values()} == {str}
    assert (len(found), base64.b64decode(found["user_data_base64"])) == (keys, document)
    assert keys == 1 or json.loads(found["parts"]) == json.loads(parts)
