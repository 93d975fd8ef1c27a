"""Each kind of slip in the eyes of nodeadm, Karpenter and cloud-init: explain says what they do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amigen.base.errors import InputError
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.explain import Explanation, explain
from amigen.userdata.make import make
from tests.specs import joins
from tests.userdata.conftest import Left
from tests.userdata.judges import karpenter, nodeadm
from tests.userdata.kinds import KINDS
from tests.userdata.test_cloud_init_judges import predicted, text
from tests.userdata.test_documents import plan
from tests.userdata.test_nodeadm_judges import NODE

# They fetch, or run a program that may join: nobody can know, and explain does not say that nothing joins.
MAY_JOIN = ("include", "part-handler", "env shebang")
# Mail whose body begins with `#!`, what is rendered or run by a handler of its own, or base64, which EC2 takes off.
OTHERWISE = (
    "a shebang among the headers",
    "jinja sh",
    "jinja undefined",
    "part-handler",
    "include",
    "b64 all",
    "b64 gzip",
    "b64 twice",
    "b64 NC",
)


def refusals(found: Explanation, reader: str) -> list[str]:
    problems = [p for p in found.problems if p.severity == "error" and p.reader == reader]
    return [p.message for p in problems if p.rule != "retyped"]


def test_nodeadm_refuses_what_explain_says() -> None:
    wrong = [
        (name, verdict.error, refusals(explain(KINDS[name], "self-managed"), "nodeadm"))
        for name, verdict in zip(KINDS, nodeadm(KINDS.values()), strict=True)
        if bool(verdict.error) != bool(refusals(explain(KINDS[name], "self-managed"), "nodeadm"))
    ]

    assert [found for found in wrong if found[0] not in MAY_JOIN] == []


def test_karpenter_and_nodeadm_behind_it_refuse_what_explain_says() -> None:
    made = karpenter(KINDS.values())
    for name, out, verdict in zip(KINDS, made, nodeadm(out.document or b"x" for out in made), strict=True):
        found = explain(KINDS[name], "karpenter")
        assert bool(out.error) == bool(refusals(found, "karpenter")), name
        if not out.error:
            assert bool(verdict.error) == bool(refusals(found, "nodeadm")), name


@pytest.mark.parametrize("name", [name for name in KINDS if name not in OTHERWISE])
def test_cloud_init_runs_what_explain_says(name: str, cloud_init_leaves: Callable[[bytes], Left]) -> None:
    scripts, early, faults = predicted(KINDS[name])
    left = cloud_init_leaves(KINDS[name])
    if not faults:
        assert (left.error, [(file, text(content)) for file, content in left.scripts]) == ("", scripts)
        assert [(file, text(content)) for file, content in left.early] == early


@pytest.mark.parametrize("name", KINDS)
def test_merge_writes_nothing_that_is_refused(name: str) -> None:
    """It repairs, or says why not."""
    try:
        made = make(plan(joins()), merge=KINDS[name])
    except InputError:
        return
    found = explain(made.content, "self-managed")

    assert [p.message for p in found.problems if p.severity == "error"] == []
    assert found.parts[-1].type == mime.NODE_CONFIG
    assert all(part.content.startswith(b"#!") for part in parse(made.content).parts if part.type == mime.SHELL)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latin1", "is not UTF-8 (line 2): cloud-init runs nothing of it"),
        ("latin1 NC", "is not UTF-8 (line 18): cloud-init runs nothing of it"),
        ("mergetype", "without dict(): cloud-init ignores it"),
        ("filename only umlaut", "cloud-init cannot write that file"),
        ("NC text/plain", "part 2 is a NodeConfig by its content, and text/plain by its type: nodeadm ignores it"),
        ("bootstrap call", "calls /etc/eks/bootstrap.sh, which was removed from Amazon Linux 2023"),
        ("AL2's kubelet-config.json", "which nodeadm writes after all scripts"),
        ("parts after final", "holds parts behind its closing boundary `--BND--`"),
        ("MIME-Version with a blank", "line 1 is no header for cloud-init"),
        ("gzip without its type", "does not begin with #!"),
        ("latin1 in base64", "is in base64, is not UTF-8, and holds more than ASCII"),
        ("a bad name server", "'dns.internal' is not an IP address"),
        (
            "a comment before the headers",
            "has the line 1, '# made by Terraform', before its MIME headers or among them",
        ),
        ("a shebang among the headers", "has the line 2, '#!/bin/bash', before its MIME headers"),
        ("cloud-config before the headers", "has the line 1, '#cloud-config', before its MIME headers"),
        ("NC below a shebang", "is a NodeConfig for nodeadm, and a script for cloud-init, which fails"),
        ("NC with spec twice", "has `spec` twice (lines 4 and 13): nodeadm takes the last one"),
        ("cc with runcmd twice", "part 1 has `runcmd` twice (lines 3 and 4): cloud-init takes the last one"),
        ("cc of nothing", "part 1 is cloud-config and is empty"),
        ("cc with a mapping in a command", "`runcmd` of part 1 holds {'echo a': 'b'} as a word of a command"),
        ("blank before #!, alone", "has an empty line or blanks before #!"),
        ("env with an option", "part 1 hands 'bash -e' to env as one argument: cloud-init cannot run it"),
        ("AL2's variables", "sets a variable of the bootstrap.sh of Amazon Linux 2"),
        ("cloud-config among the headers", "part 1 has no empty line before `hostname:`"),
        ("NC among the headers", "part 2 has no empty line before `apiVersion:`"),
        (
            "an empty line before the headers of a part",
            "part 1 begins with an empty line, so that its headers are text",
        ),
        ("a boundary that is indented", "part 1 goes on behind '--BND', which is no boundary there"),
        ("a boundary behind text", "part 1 goes on behind '--BND', which is no boundary there"),
        ("bootstrap in comment", "nothing in it joins the node to a cluster: there is no NodeConfig"),
    ],
)
def test_what_is_said(name: str, words: str) -> None:
    assert words in " ".join(p.message for p in explain(KINDS[name], "self-managed").problems)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("indented by Terraform", "remove the blanks before each line"),
        ("cc below a comment", "put #cloud-config into the first line"),
        ("toml bottlerocket", "TOML for Bottlerocket"),
        ("powershell", "this is for Windows"),
        ("b64 twice", "encode it once"),
        ("gzip of base64", "encode it once"),
        ("bom shell", "without the byte order mark (BOM)"),
        ("NC of eks.aws", "apiVersion: node.eks.aws/v1alpha1"),
        ("NC of v1alpha", "apiVersion: node.eks.aws/v1alpha1"),
        ("NC in a NodeClass", "give the user data alone"),
    ],
)
def test_what_was_probably_meant(name: str, hint: str) -> None:
    assert hint in " ".join(p.hint for p in explain(KINDS[name], "self-managed").problems)


@pytest.mark.parametrize(
    "name",
    [
        "boundary row",
        "cc below a comment",
        "spaces first",
        "no final",
        "gzip of base64",
        "a comment before the headers",
    ],
)
def test_one_cause_is_one_finding(name: str) -> None:
    documents = KINDS | {
        "boundary row": KINDS["params"].replace(b'boundary="BND"', b'boundary="other"'),
        "spaces first": b"".join(b"  " + line for line in KINDS["params"].splitlines(keepends=True)),
    }

    assert [p.reader for p in explain(documents[name], "self-managed").problems if p.severity == "error"] == ["nodeadm"]


@pytest.mark.parametrize(
    ("config", "reader", "words"),
    [
        ('kubelet: {flags: ["--max-pods=20\\n", --v=2]}', "kubelet", "line break: the kubelet gets nothing of"),
        (
            """containerd: {config: '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]'}""",
            "nodeadm",
            "registry.mirrors beside the config_path",
        ),
    ],
)
def test_what_no_judge_here_says(config: str, reader: str, words: str) -> None:
    """systemd reads the flags, containerd its configuration (internal/cri/config/config.go, ValidateImageConfig)."""
    found = explain(NODE + f"  {config}\n".encode(), "self-managed").problems

    assert [(p.reader, words in p.message) for p in found if p.reader == reader] == [(reader, True)]


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ("web --kubelet-extra-args '--node-labels=a=b --max-pods=5' --use-max-pods false", ""),
        ("web --kubelet-extra-args --node-labels=a=b", ""),
        ("web --kubelet-extra-args --node-labels=a=b --max-pods=5", "warning"),
        ("--kubelet-extra-args --node-labels=a=b --max-pods=5 web", "error"),
        ("--kubelet-extra-args '--node-labels=a=b' \\\n  --max-pods=5 web", "error"),
        ('"${NAME}" --b64-cluster-ca "$CA" --apiserver-endpoint "$URL" --kubelet-extra-args "$ARGS" >/tmp/log', ""),
        ("web --kubelet-extra-args --v=2 --max-pods=5 | tee /tmp/log", "warning"),
    ],
)
def test_kubelet_flags_without_quotes(words: str, severity: str) -> None:
    """bootstrap.sh of Ubuntu's images reads one word for each option, as the loop over its arguments has it."""
    script = f"#!/bin/bash\nset -e\n/etc/eks/bootstrap.sh {words}\n".encode()
    found = [p for p in explain(script, "self-managed", nodeadm=False).problems if p.rule == "bootstrap"]

    assert [p.severity for p in found] == [severity] * bool(severity)
