"""NodeConfig drop-ins that the spec's files write, in the eyes of `check`, `explain` and nodeadm."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from amigen.userdata import mime
from amigen.userdata.drop_ins import DROP_INS, DropIn, drop_ins, of_files
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from amigen.userdata.mime import Part
from tests.command import run
from tests.specs import joins, mapping
from tests.specs import spec as make_spec
from tests.userdata.judges import nodeadm
from tests.userdata.test_documents import plan
from tests.userdata.test_nodeadm_judges import GOOD, NODE

HEAD = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n"
CLUSTER = (
    "  cluster: {name: x, apiServerEndpoint: https://x, certificateAuthority: AAAA, cidr: 10.0.0.0/16}\n"
    "  kubelet: {config: {maxPods: 17}}\n"
)


def files(**texts: str) -> dict[str, object]:
    return {"files": [{"path": f"{DROP_INS}/{name}.yaml", "content": HEAD + text} for name, text in texts.items()]}


CASES = {
    "one": (joins(), files(a="  kubelet: {config: {maxPods: 17}}\n")),
    "by name": (joins(), files(b="  kubelet: {config: {maxPods: 1}}\n", a="  kubelet: {config: {maxPods: 2}}\n")),
    "wins the cluster": (joins(), files(a=CLUSTER)),
    "adds flags": (joins(maxPods=5), files(a="  kubelet: {flags: [--v=4]}\n")),
    "wrong type": (joins(), files(a="  kubelet: {flags: --v=4}\n")),
    "not a NodeConfig": (joins(), files(a="  - x\n")),
    "unknown key": (joins(), files(a="  kubelets: {}\n")),
    "an Outpost without its id": (joins(), files(a="  cluster: {enableOutpost: true}\n")),
}


@pytest.mark.parametrize("case", CASES)
def test_nodeadm_merges_them_as_explain_says(case: str) -> None:
    made = make_spec(*CASES[case])
    document = user_data(plan(*CASES[case]))
    written = {file.path.rsplit("/", 1)[1]: file.content or "" for file in made.files}
    (verdict,) = nodeadm([document], written)
    found = explain(document, "self-managed", files=of_files(made.files))
    errors = [p.message for p in found.problems if p.severity == "error" and p.reader == "nodeadm"]

    assert bool(verdict.error) == bool(errors)
    if not errors:
        fields = {field.path: field.value for field in found.fields}
        kubelet = verdict.config["spec"]["kubelet"].get("config", {})
        assert fields.get("spec.kubelet.config.maxPods", "") == str(kubelet.get("maxPods", ""))
        assert fields["spec.cluster.name"] == verdict.config["spec"]["cluster"]["name"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ((joins(), files(a=CLUSTER)), 0, None),
        ((files(a=CLUSTER),), 0, "warning: files[0]: names the cluster in /etc/eks/nodeadm.d"),
        (
            (joins(), files(a="  kubelet: {flags: --v=4}\n")),
            3,
            "spec.kubelet.flags (line 4 of the file) must be a list",
        ),
        ((joins(), files(a="  kubelet: {flags: [--max-pod=5]}\n")), 3, "has no flag '--max-pod'"),
        ((joins(), files(a="  kubelets: {}\n")), 0, "warning: files[0]: nodeadm ignores spec.kubelets"),
        (({"platforms": ["ubuntu-24.04"]}, files(a="  kubelets: {}\n")), 0, None),
    ],
)
def test_check_says_what_is_wrong(
    changes: tuple[dict[str, object], ...], code: int, words: str | None, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping(*changes)))
    done = run("check", "spec.yaml", cwd=tmp_path, code=code)
    said = (done.stdout + done.stderr).decode()

    assert ("files[0]" in said) == bool(words)
    assert (words or "") in said


def test_explain_a_spec_with_drop_ins(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump(mapping(joins(), files(a="  kubelet: {config: {maxPods: 7}}\n")))
    )
    words = ("user-data", "explain", "spec.yaml", "--for", "self-managed", "--output", "json")
    done = run(*words, cwd=tmp_path, code=0)
    (field,) = [field for field in json.loads(done.stdout)["fields"] if field["path"] == "spec.kubelet.config.maxPods"]

    assert (field["value"], field["winner"]) == ("7", f"{DROP_INS}/a.yaml")


TEXT = HEAD + "  kubelet: {config: {maxPods: 17}}\n"
TABS = "".join(f"\t{line}\n" for line in TEXT.splitlines())
PATH = f"{DROP_INS}/90.yaml"
# Ways of a script to write a drop-in, and whether its text can be read here.
WAYS: dict[str, tuple[str, bool]] = {
    "cat": (f"cat > {PATH} <<EOF\n{TEXT}EOF\n", True),
    "before the path": (f"cat <<'EOF' > '{PATH}'\n{TEXT}EOF\n", True),
    "tee": (f"cat <<\\EOF | tee {PATH} > /dev/null\n{TEXT}EOF\n", True),
    "tabs": (f"if true; then\n\tcat <<-END-OF > {PATH}\n{TABS}\tEND-OF\nfi\n", True),
    "a folder in a variable": (f'D={DROP_INS}\nmkdir -p $D && cat > "${{D}}/90.yaml" << EOF\n{TEXT}EOF\n', True),
    "a variable for the path": (f"export F='{PATH}'\ncat > \"$F\" <<EOF\n{TEXT}EOF\n", True),
    "on two lines": (f"cat > \\\n  {PATH} <<EOF\n{TEXT}EOF\n", True),
    "twice": (f"cat > {PATH} <<EOF\nx: y\nEOF\n# don't\ncat > {PATH} <<EOF\n{TEXT}EOF\n", True),
    "in pieces": (f"cat > {PATH} <<EOF\n{HEAD}EOF\ntee -a {PATH} <<EOF\n  kubelet: {{}}\nEOF\n", True),
    "echo": (f"echo '{TEXT}' > {PATH}\n", True),
    "escaped": (f"cat > {PATH} <<EOF\n{TEXT}# \\$X \\`x\\` \\\\ \\n a\\\nb\nEOF\n", True),
    "JSON": (f"cat > {DROP_INS}/90.json <<EOF\n{{}}\nEOF\n", True),
    "two slashes": (f"cat > /etc/eks//nodeadm.d/90.yaml <<EOF\n{TEXT}EOF\n", True),
    "in a comment": (f"# cat > {PATH} <<EOF\ntrue # > {PATH}\n", True),
    "another document": (f"cat > /dev/null <<EOF\ncat > {PATH} <<X\nEOF\n", True),
    "another ending": (f"cat > {DROP_INS}/90.conf <<EOF\n{TEXT}EOF\n", True),
    "a variable in it": (f"N=17\ncat > {PATH} <<EOF\n{TEXT.replace('17', '$N')}EOF\n", False),
    "a command in it": (f"cat > {PATH} <<EOF\n{TEXT.replace('17', '`echo 17`')}EOF\n", False),
    "printf": (f"printf '%s' '{TEXT}' > {PATH}\n", False),
    "cp": (f"cat > /dev/shm/x <<EOF\n{TEXT}EOF\ncp /dev/shm/x {PATH}\n", False),
    "base64": (f"echo 'eA==' | base64 -d > {PATH}\n", False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["script", "runcmd", "jinja"])
def test_a_script_writes_what_is_read_of_it(way: str, kind: str, tmp_path: Path) -> None:
    """bash itself, in a folder of its own."""
    text, plain = WAYS[way]
    (tmp_path / "d").mkdir()
    script = re.sub("/etc/eks/+nodeadm.d", str(tmp_path / "d"), text).replace("/dev/shm/x", f"{tmp_path}/x")
    subprocess.run(["bash", "-ec", script], check=True, capture_output=True)
    written = {file.name: file.read_bytes() for file in (tmp_path / "d").iterdir() if file.suffix != ".conf"}
    config = b"#cloud-config\n" + yaml.safe_dump({"runcmd": [text]}).encode()
    part = {
        "script": Part(type=mime.SHELL, content=f"#!/bin/bash\n{text}".encode()),
        "runcmd": Part(type=mime.CLOUD_CONFIG, content=config),
        "jinja": Part(type="text/jinja2", content=f"## template: jinja\n#!/bin/bash\n{text}".encode()),
    }[kind]
    found = {drop_in.name: drop_in.content for drop_in in drop_ins((part,))}

    assert found == (written if plain else dict.fromkeys(written))


def test_what_cannot_be_read_is_said() -> None:
    script = Part(type=mime.SHELL, content=f"#!/bin/bash\n{WAYS['a variable in it'][0]}".encode())
    found = explain(mime.write((script, Part(type=mime.NODE_CONFIG, content=NODE))), "self-managed").problems

    assert [(p.severity, p.message) for p in found] == [
        ("note", f"{PATH}, by the script of part 1, cannot be read here: what it sets wins")
    ]


@pytest.mark.parametrize("end", ["--BND--\n", ""])
def test_a_drop_in_may_be_multipart(end: str) -> None:
    """nodeadm's file provider reads MIME, too."""
    text = GOOD.decode().removesuffix("--BND--\n") + end
    (verdict,) = nodeadm([NODE], {"90.yaml": text})
    files_ = [DropIn(name="90.yaml", content=text.encode(), by="files[0]")]
    found = explain(NODE, "self-managed", files=files_)
    errors = [p for p in found.problems if p.severity == "error"]

    assert bool(verdict.error) == bool(errors) == (not end)
    assert end == "" or verdict.config["spec"]["featureGates"] == {"FastImagePull": True}
