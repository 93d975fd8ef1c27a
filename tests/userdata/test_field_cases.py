"""Documents with the shape of public reports: what `explain` and `--merge` say of each, and nodeadm itself.

Where they were seen: amazon-eks-ami 2318, 1701, 1678, terraform-aws-eks 3471, karpenter 2009, 2098, cloud-init 3011,
5866, 2611, and Go's net/mail.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amigen.base.errors import InputError
from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.make import make
from amigen.userdata.mime import Part
from tests.specs import joins
from tests.userdata.judges import nodeadm
from tests.userdata.test_documents import plan

FOLDER = Path(__file__).with_name("field_cases")
# Of each file: what explain says (reader, severity and words), and whether --merge takes it.
VERDICTS: dict[str, tuple[tuple[str, ...], str]] = {
    "noblank.mime": (("nodeadm error .*line 6: .*an empty line is missing",), "added the missing empty line"),
    "unq_eq.mime": (("nodeadm error .*line 2: .*invalid media parameter",), "into double quotes"),
    "noclose_nc_last.mime": (("nodeadm error .*line 23: .*not closed",), "refused: line 23"),
    "badtype.mime": (
        ("nodeadm error .*line 5: .*unexpected content after media subtype", "cloud-init error part 1 .*ignores"),
        "refused: line 5",
    ),
    "crlf_mixed.mime": (("nodeadm error .*line ends are mixed",), "changed all line ends"),
    "r2009.mime": (("nodeadm error .*line 3: .*an empty line is missing",), "added the missing empty line"),
    "bom.mime": (("cloud-init error .*BOM",), r"removed the byte order mark \(BOM\)"),
    "dup.mime": (("cloud-init error 2 scripts are called a.sh",), "refused: 2 scripts are called a.sh"),
    "nc_null_cidr.yaml": (("nodeadm error .*spec.cluster.cidr is missing or empty",), ""),
    "nc_flags_str.yaml": (("nodeadm error .*spec.kubelet.flags .* must be a list",), "refused: .*must be a list"),
    "nc_unknown.yaml": (
        ("nodeadm warning .*ignores spec.kubelet.maxPods", "nodeadm warning .*ignores spec.kubelet.evictionHard"),
        "",
    ),
    "umlaut_comment.mime": (("cloud-init error part 1 .*drops the whole part",), "encoded what holds more than ASCII"),
    "blank_shebang.mime": (("cloud-init error part 1 .*Exec format error",), "removed the empty lines and blanks"),
    "dropin.mime": ((), ""),
    "dropin_only.mime": (("nodeadm error the NodeConfig is only in .*10.yaml",), ""),
    "cc_bad.mime": (("cloud-init error part 1 is cloud-config .*ignores",), "refused: part 1 is cloud-config"),
    "cc_runcmd_merge.mime": (("cloud-init warning `runcmd` of part 2 replaces `runcmd` of part 1",), ""),
    "flag_vs_cfg.mime": (("kubelet warning --max-pods=20 .*beats .*maxPods .110", " warning holds 2 NodeConfigs"), ""),
    "nc.json": ((), ""),
    "containerd2.mime": ((" warning holds 2 NodeConfigs",), ""),
    "jinja_early.mime": (("nodeadm error nothing in it joins",), "00-a.sh would run before"),
    "include.mime": (("cloud-init warning part 1 .*runs nothing at all",), ""),
    "bprefix.mime": ((), ""),
    "open_instead_of_close.mime": ((), ""),
    "name_ctype.mime": ((), ""),
}


def test_every_case_has_a_verdict() -> None:
    assert sorted(file.name for file in FOLDER.iterdir()) == sorted(VERDICTS)


@pytest.mark.parametrize("name", VERDICTS)
def test_explain_says_what_is_wrong_and_nothing_else(name: str) -> None:
    found = [
        f"{p.reader} {p.severity} {p.message}" for p in explain((FOLDER / name).read_bytes(), "self-managed").problems
    ]
    words = VERDICTS[name][0]

    assert [line for line in words if not any(re.match(line, said) for said in found)] == []
    assert [said for said in found if not any(re.match(line, said) for line in words)] == []


@pytest.mark.parametrize("name", VERDICTS)
@pytest.mark.parametrize("change", [{}, joins()], ids=["others join", "joins"])
def test_merge_repairs_or_refuses(name: str, change: dict[str, object]) -> None:
    """What it writes has no error, and no NodeConfig in it holds a MIME text."""
    wanted = VERDICTS[name][1]
    document = (FOLDER / name).read_bytes()
    if wanted.startswith("refused: "):
        with pytest.raises(InputError, match=wanted.removeprefix("refused: ")):
            make(plan(change), merge=document)
        return
    made = make(plan(change), merge=document)
    errors = [p for p in explain(made.content, "self-managed").problems if p.severity == "error"]

    assert re.search(wanted, " ".join(note.message for note in made.notes))
    assert {p.rule for p in errors} <= (set() if change else {"nothing-joins", "cluster", "drop-in-only"})
    assert not any(b"MIME-Version" in p.content for p in parse(made.content).parts if p.type == mime.NODE_CONFIG)


def test_nodeadm_says_the_same() -> None:
    """nodeadm accepts a document if and only if explain has no error whose reader is nodeadm."""
    names = sorted(VERDICTS)
    verdicts = nodeadm((FOLDER / name).read_bytes() for name in names)
    accepted = {name for name, verdict in zip(names, verdicts, strict=True) if not verdict.error}
    explained = {name for name in names if not _refused_by_nodeadm((FOLDER / name).read_bytes())}

    assert accepted == explained


def _refused_by_nodeadm(document: bytes) -> bool:
    return any(p.reader == "nodeadm" and p.severity == "error" for p in explain(document, "self-managed").problems)


def test_the_drop_in_wins() -> None:
    (field,) = [
        field
        for field in explain((FOLDER / "dropin.mime").read_bytes(), "self-managed").fields
        if field.path == "spec.kubelet.config.maxPods"
    ]

    assert (field.value, field.winner) == ("17", "/etc/eks/nodeadm.d/90-max.yaml")


def test_a_name_in_the_type_survives_karpenter() -> None:
    document = (FOLDER / "name_ctype.mime").read_bytes()

    assert [p.filename for p in explain(document, "karpenter").parts if p.type == mime.SHELL] == ["zz.sh"]


def test_a_template_runs_before_amigens_script() -> None:
    own = Part(type=mime.SHELL, content=b"#!/usr/bin/env bash\n# amigen x\n", filename="00-amigen-bootstrap.sh")
    parts = parse((FOLDER / "jinja_early.mime").read_bytes()).parts
    found = explain(mime.write((own, *parts)), "self-managed")

    assert [p.filename for p in found.parts][:2] == ["00-a.sh", "00-amigen-bootstrap.sh"]
    assert any("00-a.sh runs before amigen's" in p.message for p in found.problems)
