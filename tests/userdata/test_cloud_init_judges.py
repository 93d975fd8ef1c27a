"""cloud-init itself against `explain`: which parts run, under which names, in which order, to the byte."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from amigen.userdata import mime, packed
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from amigen.userdata.mime import Part
from tests.userdata.conftest import SYSTEM_PYTHON, Left
from tests.userdata.test_documents import plan
from tests.userdata.test_karpenter_judges import documents
from tests.userdata.test_nodeadm_judges import mutated

pytestmark = pytest.mark.slow  # hundreds of documents through the real cloud-init

Script = tuple[str, bytes]


def text(content: bytes) -> bytes:
    """The script, unpacked, as cloud-init writes it, without the line ends at its end."""
    return packed.unix_lines(packed.unpack(content) or content).rstrip(b"\n")


def predicted(document: bytes) -> tuple[list[Script], list[Script], bool]:
    """Scripts, those that run by frequency, and whether explain finds fault with what cloud-init makes of it."""
    found, parts = explain(document, "self-managed"), parse(document).parts
    rows = [(row.filename, mime.effective(parts[row.number - 1])) for row in found.parts]
    scripts = [(name, text(part.content)) for name, part in rows if part.type == mime.SHELL]
    early = [(name, text(part.content)) for name, part in rows if part.type in mime.BY_FREQUENCY]
    faults = [p for p in found.problems if p.reader == "cloud-init" or (p.severity == "error" and not p.reader)]
    return scripts, early, bool(faults)


def test_what_runs_is_what_explain_says(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Documents at hand and mutated ones, where explain finds no fault for cloud-init."""
    chance = random.Random(25)
    judged = {**documents(), **{f"mutated {number}": mutated(chance) for number in range(500)}}
    wrong, sound = [], 0
    for name, document in judged.items():
        scripts, early, faults = predicted(document)
        # cloud-init would ask the Internet for an include; EC2 takes off base64 around the whole.
        if faults or b"#include" in document:
            continue
        sound += 1
        plain = base64.b64decode(document) if parse(document).wrapped[:1] == ("base64",) else document
        left = cloud_init_leaves(plain)
        seen = [[(file, text(content)) for file, content in found] for found in (left.scripts, left.early)]
        if (left.error, *seen) != ("", scripts, early) and name != "field jinja_early.mime":
            wrong.append((name, document, left, scripts))

    assert wrong == []
    assert sound > 350


ARCHIVE = b"""#cloud-config-archive
- "#!/bin/sh\\necho one\\n"
- type: text/x-shellscript
  filename: 00-two.sh
  content: |
    #!/bin/sh
    echo zwei \xc3\xa4
- "#cloud-config\\npackages: [htop]\\n"
- content: "packages: [jq]\\n"
- type: text/cloud-config
  merge_how: "list(append)+dict(recurse_array)+str()"
  content: "#cloud-config\\npackages: [nano]\\n"
- {type: text/x-shellscript-per-boot, filename: b.sh, content: "#!/bin/sh\\necho boot\\n"}
- [skipped]
- content: "#!/bin/sh\\necho last\\n"
"""


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in MIME"])
def test_an_archive_is_its_entries(alone: bool, cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Each under its own name and number, merged or not."""
    shell = Part(type=mime.SHELL, content=b"#!/bin/sh\necho mime\n")
    archive = Part(type="text/cloud-config-archive", content=ARCHIVE)
    document = ARCHIVE if alone else mime.write((shell, archive, shell))
    left = cloud_init_leaves(document)
    scripts, early, _ = predicted(document)
    problems = [p.message for p in explain(document, "self-managed").problems if p.rule == "archive"]
    merged = cloud_init_leaves(user_data(plan(), merge=ARCHIVE.replace(b"- [skipped]\n", b"")))

    assert [(file, text(content)) for file, content in left.scripts] == scripts
    assert [(file, text(content)) for file, content in left.early] == early
    assert [content.split()[-1] for _, content in scripts if b"mime" not in content] == [
        "ä".encode(), b"one", b"last"
    ]  # fmt: skip
    assert problems == [f"part {7 if alone else 8}, in an archive, is neither text nor a mapping: cloud-init skips it"]
    assert merged.config["packages"] == left.config["packages"]
    assert [text(content).split()[-1] for _, content in merged.scripts[1:]] == ["ä".encode(), b"one", b"last"]


@pytest.mark.parametrize(
    ("archive", "reader", "words"),
    [
        (
            b"#cloud-config-archive\na: b\n",
            "cloud-init",
            "is an archive and is not a list: cloud-init runs nothing of it",
        ),
        (b"#cloud-config-archive\n- {type: shell, content: x}\n", "cloud-init", "gives up on all of the user data"),
        (
            b"#cloud-config-archive\n- {type: application/node.eks.aws, content: x}\n",
            "nodeadm",
            "nodeadm does not look into archives",
        ),
    ],
)
def test_an_archive_that_does_nothing(
    archive: bytes, reader: str, words: str, cloud_init_leaves: Callable[[bytes], Left]
) -> None:
    left = cloud_init_leaves(archive)
    (found,) = [p for p in explain(archive, "self-managed").problems if p.rule == "archive"]

    assert (left.scripts, left.config) == ((), {})
    assert (found.reader, found.severity) == (reader, "error")
    assert words in found.message


# Lines behind `#cloud-config`, as people write them.
CONFIGS = [
    line.replace("\\n", "\n").replace("\\t", "\t")
    for line in r"""
runcmd: echo hi
runcmd: {a: b}
runcmd: [5]
runcmd: [echo a: b]
runcmd: ['echo a: b']
runcmd:
runcmd: [[a, 5], b, null]
runcmd: []
runcmd: [true]
bootcmd: echo
bootcmd: [a]
bootcmd: [[a]]
packages: htop
write_files: {path: /x, content: a}
write_files: [/x]
write_files: [{content: a}]
write_files: [{path: /x, permissions: 0644}]
write_files: [{path: /x, content: '!!', encoding: b64}]
write_files: [{path: /x, content: aGk, encoding: b64}]
write_files: [{path: /x, content: a, encoding: gz}]
write_files: [{path: /x, content: aGk=, encoding: gz+b64}]
write_files: [{path: /x, content: a, encoding: x}]
write_files: [{path: /x, content: !!binary aGk=}]
write_files: [{path: /x}]
write_files: [{path: 5}]
write_files: [{path: /x, content: 5}]
write_files: [{path: /x, content: null}]
write_files: [null]
write_files: [{path: /x, content: a, encoding: 5}]
write_files: [{path: /x, owner: 1000}]
write_files: [{path: /x, owner: root}]
write_files: [{path: [/x]}]
write_files: ''
runcmd: [a]\nruncmd: [b]
a: &x [b]\nruncmd: *x
a: &x {b: 1}\nc:\n  <<: *x
runcmd: [a]\n---\nb: c
a: .inf
? \n: a
? [a]\n: b
a: =
a: <<
a: !!bool b
a: !b c
a: !!python/object:os.system b
a: 2024-02-30
a: 2024-01-01
1: 2
yes: no
a: 1:30
a: 0o7
{{ a }}: b
a: {{ b }}
a: b: c
a: %b
a: @b
a: `b`
a: [b
a:\n\t- b
a: b\n c: d
- a
a
...
---
--- \na: b
a: 'b
%a
a: *b
a: &b 1\nc: &b 2
a: 1e3
a: 1_000
a: !!int b
a: !!set {b}
a: "\x"
""".strip("\n").split("\n")
]


def test_a_cloud_config_is_read_as_cloud_init_reads_it(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Which are ignored as a whole, and for which keys a module fails."""
    wrong = []
    for text_ in CONFIGS:
        document = b"#cloud-config\n" + text_.encode() + b"\n"
        left = cloud_init_leaves(document)
        found = [p for p in explain(document, "self-managed").problems if p.reader == "cloud-init"]
        keys = [p.message.split("`")[1] for p in found if p.rule == "module"]
        said = (any(p.rule == "cloud-config" for p in found), keys)
        if (not left.config, left.modules) != said:
            wrong.append((text_, left.error, left.config, left.modules, [p.message for p in found]))

    assert wrong == []


def test_a_template_runs_under_its_own_name(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    left = cloud_init_leaves(documents()["field jinja_early.mime"])

    assert left.scripts[0] == ("00-a.sh", b"#!/bin/bash\necho eu-west-1\n")
    assert [name for name, _ in left.scripts] == [
        name for name, _ in predicted(documents()["field jinja_early.mime"])[0]
    ]


TEMPLATES = r"""
runcmd: [echo {{ ]
runcmd: ['echo {{ v1.region }}']
runcmd: ['echo {{ nope }}']
runcmd: ['echo {% if x %}']
runcmd: ['echo {{ 1|nofilter }}']
runcmd: ['echo ${#list[@]}']
runcmd: ['echo {% raw %}${#list[@]}{% endraw %}']
runcmd: ['echo {# a comment #}']
runcmd: ['echo {{ v1.region | upper }} {{ "a{%b" }}']
""".strip("\n").split("\n")


@pytest.mark.parametrize(
    "head", ["## template: jinja", "##template:jinja", "## Template: Jinja", "## template: basic", "#"]
)
def test_a_template_that_is_not_rendered(head: str, cloud_init_leaves: Callable[[bytes], Left]) -> None:
    wrong = []
    for line in TEMPLATES:
        part = Part(type="text/jinja2", content=f"{head}\n#cloud-config\n{line}\n".encode())
        document = mime.write((part, Part(type=mime.SHELL, content=b"#!/bin/sh\necho\n")))
        left = cloud_init_leaves(document)
        found = [p.message for p in explain(document, "self-managed").problems if p.rule == "jinja"]
        if bool(left.config) == bool(found) or left.error:
            wrong.append((line, left, found))

    assert wrong == []


# What a second and third cloud-config say of merging: in the text, and in a header.
_HOW = (
    "", "", "dict()+list(append)", "dict(recurse_array)+list(append)", "dict(replace)+list()", "dict()", "list(append)",
    "list(append)+dict(no_replace, recurse_list)+str()", "dict(recurse_list)+list()", "dict(recurse_str)+str(append)",
    "dict(recurse_array)+list(no_replace)", "dict(recurse_list)+list(prepend)", "dict(recurse_array)+list(apend)",
    "dict", "dicts()+list()", '"dict()"', "dict(),list(append)", "Dict(recurse-list)+LIST(append)",
    "dict(allow_delete)",
)  # fmt: skip
_KEYS_OF = (
    "runcmd: [a]", "runcmd: [b, c]", "runcmd: []", "runcmd:", "hostname: x", "hostname: y", "apt: {a: 1}",
    "apt: {b: {c: [d]}}", "apt: {b: {c: [e]}}", "packages: [[a, b]]", "packages: [[c]]", "packages: jq", "ntp: {a: b}",
)  # fmt: skip


def holds(whole: object, value: object) -> bool:
    if isinstance(value, dict) and isinstance(whole, dict):
        return all(key in whole and holds(whole[key], child) for key, child in value.items())
    return (
        all(each in whole for each in value) if isinstance(value, list) and isinstance(whole, list) else whole == value
    )


def test_what_is_lost_when_cloud_configs_are_merged(cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """Whatever they say of merging: all of each is in effect, or explain says what is not."""
    chance = random.Random(7)
    wrong, sound = [], 0
    for _ in range(400):
        parts, configs = [], []
        for _ in range(chance.choice((2, 2, 3))):
            keys = {line.split(":")[0]: line for line in chance.sample(_KEYS_OF, chance.choice((1, 2)))}
            how = chance.choice(_HOW)
            where = chance.choice(("merge_how: ", "merge_type: ", "Merge-Type", "X-Merge-Type", "merge-type"))
            says = f"{where}{json.dumps(how)}\n" if how and ":" in where else ""
            body = "\n".join(keys.values()) + "\n"
            configs.append(yaml.safe_load(body))
            headers = ((where, how),) if how and not says else ()
            content = f"#cloud-config\n{says}{body}".encode()
            parts.append(Part(type=mime.CLOUD_CONFIG, content=content, headers=headers))
        document = mime.write(tuple(parts))
        left = cloud_init_leaves(document)
        lost = [
            key
            for config in configs
            for key, value in config.items()
            if value and not holds(left.config.get(key), value)
        ]
        found = [p.rule for p in explain(document, "self-managed").problems if p.rule in ("merge", "replaced")]
        sound += not lost
        if bool(lost) != ("replaced" in found) and not (lost and "merge" in found):
            wrong.append((document.decode(), left.config, lost, found))

    assert wrong == []
    assert sound > 50


def test_a_mode_that_is_a_decimal_number(cloud_init_environment: dict[str, str]) -> None:
    code = "from cloudinit.config.cc_write_files import decode_perms; print(oct(decode_perms(644, None)))"
    done = subprocess.run([SYSTEM_PYTHON, "-c", code], check=True, capture_output=True, env=cloud_init_environment)
    text_ = "#cloud-config\nwrite_files: [{path: /a, permissions: 644}, {path: /b, permissions: 0644}]\n"
    (found,) = [p.message for p in explain(text_.encode(), "self-managed").problems if p.rule == "mode"]

    assert done.stdout.decode().strip() == "0o1204"
    assert found == "entry 1 in `write_files` of part 1 gets the mode 1204: 644 is a decimal number"


# The modules that cloud-init runs of a list, as its configuration argv[1] names them.
_MODULES_OF = """
import json, sys
from unittest import mock
from cloudinit.config import modules
known = modules.Modules(mock.Mock())
known._cached_cfg = {"cloud_final_modules": json.loads(sys.argv[1])}
listed = known._read_modules("cloud_final_modules")
print(json.dumps([each["mod"].replace("-", "_") for each in listed]))
"""


@pytest.mark.parametrize(
    "listed", [["scripts-user"], [["scripts-user", "always"]], [["scripts_user", "always"]], ["runcmd"], []]
)
def test_a_list_of_modules_without_scripts(listed: list[object], cloud_init_environment: dict[str, str]) -> None:
    """It replaces the image's, so that no script runs."""
    command = [SYSTEM_PYTHON, "-c", _MODULES_OF, json.dumps(listed)]
    done = subprocess.run(command, check=True, capture_output=True, env=cloud_init_environment)
    document = b"#cloud-config\ncloud_final_modules: " + json.dumps(listed).encode() + b"\n"
    found = [p for p in explain(document, "self-managed").problems if p.rule == "modules"]

    assert ("scripts_user" in json.loads(done.stdout)) != bool(found)


# A boothook's handler on the text of argv[2], in the folder argv[1].
_BOOTHOOK = """
import sys
from cloudinit import helpers
from cloudinit.handlers.boot_hook import BootHookPartHandler
class Source:
    def get_instance_id(self): return "i-1"
paths = helpers.Paths({"cloud_dir": sys.argv[1], "run_dir": sys.argv[1]}, Source())
BootHookPartHandler(paths, Source()).handle_part(None, "text/cloud-boothook", "part-001", sys.argv[2], "always")
"""


@pytest.mark.parametrize(
    "head", ["#cloud-boothook\n", "#cloud-boothook\r\n", "#cloud-boothook \n\n", "", "\n", "# ours\n"]
)
@pytest.mark.parametrize("shebang", ["", "#!/bin/sh\n", "  #!/bin/sh\n"])
def test_a_boothook_that_never_runs(
    head: str, shebang: str, tmp_path: Path, cloud_init_environment: dict[str, str]
) -> None:
    text_ = f"{head}{shebang}touch {tmp_path}/ran\n"
    command = [SYSTEM_PYTHON, "-c", _BOOTHOOK, str(tmp_path), text_]
    subprocess.run(command, check=True, capture_output=True, env=cloud_init_environment)
    document = mime.write((Part(type=mime.BOOTHOOK, content=text_.encode()),))
    found = [p for p in explain(document, "self-managed").problems if p.rule == "shebang"]

    assert (tmp_path / "ran").exists() != bool(found)


_KEYS = """
import json
from cloudinit.config.schema import get_schema
def keys(value):
    if isinstance(value, dict):
        yield from value.get("properties", {})
        for inner in value.values(): yield from keys(inner)
    elif isinstance(value, list):
        for inner in value: yield from keys(inner)
print(json.dumps(sorted({*keys(get_schema())})))
"""


def test_no_key_of_cloud_init_is_misspelled(cloud_init_environment: dict[str, str]) -> None:
    done = subprocess.run([SYSTEM_PYTHON, "-c", _KEYS], check=True, capture_output=True, env=cloud_init_environment)
    known = [key for key in json.loads(done.stdout) if "-" not in key]  # those with one are keys of users
    misspelled = ("runcmds", "run_cmd", "write-files", "write_file", "Packages", "ssh_authorised_keys", "package")

    def said(keys: list[str]) -> list[str]:
        document = "#cloud-config\n" + json.dumps(dict.fromkeys(keys)) + "\n"
        found = explain(document.encode(), "self-managed").problems
        return [p.message.split("`")[1] for p in found if p.rule == "cloud-config-key"]

    assert {"runcmd", "write_files", "users"} <= set(known)
    assert said(known) == []
    assert said(list(misspelled)) == list(misspelled)


# First lines of scripts, and what follows `#!` in them, as people write them.
HEADS = (
    "#!/bin/sh", "#!/bin/bash -e", "#! /bin/bash  -xe ", "#!/usr/bin/env bash", "#!/usr/bin/env -S bash -e",
    "#!/bin/sh\r", "", "\n#!/bin/sh", "  #!/bin/sh", "\r\n#!/bin/sh", "# ours\n#!/bin/sh", "set -e", "#!",
    "#!bash", "#! \t", "#!/usr/bin/env bash -e", "#!/bin/bash -e -x", "#!/bin/sh -e # ours", "#!/usr/bin/env -i bash",
)  # fmt: skip
# The document with a script, by what is around it.
AROUND: dict[str, Callable[[str], bytes]] = {
    "alone": lambda script: script.encode(),
    "MIME": lambda script: mime.write((Part(type=mime.SHELL, content=script.encode()),)),
    "per-boot": lambda script: mime.write((Part(type=mime.BY_FREQUENCY[1], content=script.encode()),)),
    "jinja": lambda script: f"## template: jinja\n{script}".encode(),
    "archive": lambda script: b"#cloud-config-archive\n" + json.dumps([script]).encode(),
}


@pytest.mark.parametrize("around", AROUND)
def test_the_kernel_runs_a_script(around: str, tmp_path: Path, cloud_init_leaves: Callable[[bytes], Left]) -> None:
    """The file that cloud-init makes of it, run as cloud-init runs it."""
    wrong = []
    for number, head in enumerate(HEADS):
        ran = tmp_path / f"ran-{number}"
        document = AROUND[around](f"{head}\ntouch {ran}\n")
        left = cloud_init_leaves(document)
        for name, content in (*left.scripts, *left.early):
            file = tmp_path / f"{number}-{name}"
            file.write_bytes(content)
            file.chmod(0o700)
            with contextlib.suppress(OSError):  # Exec format error, or no such file
                subprocess.run([file], check=False, capture_output=True, cwd="/")
        found = [p for p in explain(document, "self-managed").problems if p.rule == "shebang"]
        # A document of another kind, which neither runs nor is a script for explain.
        scripts = bool(left.scripts or left.early)
        if scripts and ran.exists() == bool(found):
            wrong.append((head, ran.exists(), found))

    assert wrong == []
