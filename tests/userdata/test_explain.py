"""`user-data explain`: documents that others wrote, in all four systems, with every lint seen."""

from __future__ import annotations

import base64
import gzip
import json
from functools import partial
from pathlib import Path

import pytest
import yaml

from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.mime import Part
from amigen.userdata.size import LIMIT
from amigen.userdata.systems import SYSTEMS, SystemName
from tests.command import run
from tests.specs import GOLDEN, joins, mapping

SCRIPT = b"#!/bin/sh\necho mine\n"
OTHER = b"#!/bin/sh\necho other\n"
NODE = b"""\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster: {name: web, apiServerEndpoint: https://x, cidr: 10.100.0.0/16,
    certificateAuthority: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t}
  kubelet: {flags: [--v=3], config: {maxPods: 58}}
"""
MORE = b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {kubelet: {config: {maxPods: 110}}}\n"


def written(*parts: tuple[str, bytes]) -> bytes:
    return mime.write(tuple(Part(type=type_, content=content) for type_, content in parts))


def by_hand(*bodies: bytes, end: bytes = b"--OUT--\n") -> bytes:
    """Multi-part as somebody would type it."""
    head = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="OUT"\n\n'
    return head + b"".join(b"--OUT\n" + body for body in bodies) + end


GOOD = written((mime.SHELL, SCRIPT), (mime.NODE_CONFIG, NODE))
TYPED = b"Content-Type: text/x-shellscript\n"
IN_BASE64 = TYPED + b"Content-Transfer-Encoding: base64\n\n"
PACKED = b"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
QUOTED = TYPED + b"Content-Transfer-Encoding: quoted-printable\n\n"
TYPED_NODE = b"Content-Type: application/node.eks.aws\n\n"
NESTED = b'Content-Type: multipart/mixed; boundary="IN"\n\n--IN\n' + TYPED + b"\n" + SCRIPT + b"--IN--\n\n"

ALL = tuple(SYSTEMS)
MERGING: tuple[SystemName, ...] = ("managed-node-group", "karpenter", "eksctl")
MNG: tuple[SystemName, ...] = ("managed-node-group",)
OTHERS: tuple[SystemName, ...] = ("managed-node-group", "eksctl", "self-managed")
KARPENTER: tuple[SystemName, ...] = ("karpenter",)
# eksctl puts #!/bin/bash before each script.
WITHOUT_PREPENDS: tuple[SystemName, ...] = ("managed-node-group", "self-managed")
EKSCTL: tuple[SystemName, ...] = ("eksctl",)
TEXT = "error: is base64 as a whole, and .* takes text"
TAKEN = "error: is .*, and Karpenter.* for a NodeConfig if it is a YAML mapping"
CODED = {"error: part 1 is base64, and the header that says so is dropped: cloud-init cannot read it": KARPENTER}
LOST = {
    "error: part 1 is base64 and gzip, and the header .* is dropped: .* gives up on all of the user data": KARPENTER
}
REFUSED = {"error: line .* (nodeadm|Karpenter) refuses the document": ALL}
SCRIPT_NOW = {"error: part 1 is a shell script by its type, and does not begin with #!": KARPENTER}
# A document -> the words of each error and warning, and the systems for which it is said. Nothing else may be said, but
# what every document of a foreign type hears from eksctl, who sets the cluster, and that nothing in it joins the node.
CASES: dict[str, tuple[bytes, dict[str, tuple[SystemName, ...]]]] = {
    "good": (GOOD, {}),
    "good in base64": (base64.encodebytes(GOOD), {TEXT: ("karpenter", "eksctl")}),
    "plain shell": (SCRIPT, {"error: is text/x-shellscript, and EKS managed node group": MNG}),
    "cloud-config": (
        b"#cloud-config\npackages: [htop]\n",
        {
            "error: is text/cloud-config, and EKS managed node group": MNG,
            TAKEN: KARPENTER,
            "error: part 1: is not a NodeConfig of node.eks.aws/v1alpha1": KARPENTER,
        },
    ),
    "cloud-config in MIME": (written((mime.CLOUD_CONFIG, b"#cloud-config\npackages: [htop]\n")), {}),
    "boothook": (
        b"#cloud-boothook\n#!/bin/sh\necho hi\n",
        {"error: is text/cloud-boothook, and EKS managed node group": MNG},
    ),
    "a script of comments": (
        b"#!/bin/sh\n# nothing yet\n",
        {
            "error: is text/x-shellscript, and EKS managed node group": MNG,
            TAKEN: KARPENTER,
            "error: part 1: the NodeConfig is not a mapping": KARPENTER,
        },
    ),
    "MIME with another header first": (
        b"X-Mailer: me\n" + GOOD,
        {TAKEN: KARPENTER, "error: part 1 holds a whole multi-part document": KARPENTER, **SCRIPT_NOW},
    ),
    "MIME behind an empty line": (
        b"\n" + GOOD,
        {"error: begins with an empty line, which ends the MIME headers before they begin": ALL, **REFUSED},
    ),
    "MIME without a version": (
        GOOD.replace(b"MIME-Version: 1.0\n", b""),
        {"error: has no header MIME-Version: cloud-init does not take it for MIME": OTHERS},
    ),
    "a line like Karpenter's boundary": (
        written((mime.SHELL, b"#!/bin/sh\ncat <<X\n--//\nX\n")),
        {
            "warning: part 2 is of a kind": KARPENTER,
            "error: part 2 has no type .*: does the boundary '//' occur in that script": KARPENTER,
            "error: in what Karpenter.* makes of it: part 2: 'X' is not a header line.* nodeadm refuses": KARPENTER,
        },
    ),
    "a line that only begins like it": (written((mime.SHELL, b"#!/bin/sh\n# mine:\n#\n: '\n--//hi\n'\n")), {}),
    "a line of Karpenter's boundary and more": (
        written((mime.SHELL, b"#!/bin/sh\n# mine:\n#\n: '\n--// hi\n'\n")),
        {"error: in what Karpenter.* makes of it: '--// hi.* begins like a boundary line and is not one": KARPENTER},
    ),
    "merge type": (
        by_hand(
            b"Content-Type: text/cloud-config\nMerge-Type: list(append)+dict(recurse_array)\n\n#cloud-config\na: b\n"
        ),
        {"warning: part 1 arrives without its Merge-Type": KARPENTER},
    ),
    "one name for two": (
        mime.write(
            (
                Part(type=mime.SHELL, content=SCRIPT, filename="a/b"),
                Part(type=mime.SHELL, content=OTHER, filename="a_b"),
            )
        ),
        {"error: 2 scripts are called a_b: cloud-init writes them to one file": ("managed-node-group", "self-managed")},
    ),
    "names against their places": (
        mime.write(
            (Part(type=mime.SHELL, content=SCRIPT, filename="b"), Part(type=mime.SHELL, content=OTHER, filename="a"))
        ),
        {"warning: file names are dropped: scripts run in the order of the document": ("karpenter", "eksctl")},
    ),
    "plain with umlauts": (
        by_hand(TYPED + "\n#!/bin/sh\necho ä\n".encode()),
        {r"error: part 1 is without a transfer encoding, and holds more than ASCII .*drops the whole part": ALL},
    ),
    "quoted-printable": (by_hand(QUOTED + b"#!/bin/sh\necho =61\n"), {}),
    "quoted-printable with umlauts": (
        by_hand(QUOTED + b"#!/bin/sh\necho =C3=A4\n"),
        {"error: part 1 is without a transfer encoding, and holds more than ASCII .*drops the whole part": KARPENTER},
    ),
    "a NodeConfig in base64": (
        by_hand(TYPED_NODE[:-1] + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(NODE)),
        {},
    ),
    "NodeConfig alone": (NODE, {"error: is application/node.eks.aws, and EKS managed": MNG}),
    "nothing": (
        b"\n",
        {
            "warning: is empty": ALL,
            "error: is text/plain, and EKS managed": MNG,
            TAKEN: KARPENTER,
            "error: part 1: the NodeConfig is not a mapping": KARPENTER,
        },
    ),
    "no kind": (
        b"apt-get install htop\n",
        {
            "error: is of a kind that neither cloud-init nor nodeadm knows": OTHERS,
            "error: is text/plain, and EKS managed": MNG,
            **SCRIPT_NOW,
        },
    ),
    "gzip": (gzip.compress(GOOD), {"error: is gzip as a whole, and .* must read it to merge": MERGING}),
    "gzip that is cut": (
        gzip.compress(GOOD)[:-9],
        {
            "error: the gzip data": ALL,
            "error: is application/gzip, and": MNG,
            "error: is gzip as a whole, and": MERGING,
        },
    ),
    "two NodeConfigs": (
        written((mime.NODE_CONFIG, NODE), (mime.NODE_CONFIG, MORE)),
        {
            "warning: holds 2 NodeConfigs: nodeadm merges them in order, and the last wins": ALL,
        },
    ),
    "multi-part in multi-part": (
        by_hand(NESTED, TYPED_NODE + NODE),
        {"error: part 1 is itself multi-part: nodeadm does not look into it": ALL},
    ),
    "multi-part in a part": (
        by_hand(IN_BASE64 + base64.encodebytes(GOOD)),
        {
            "error: part 1 holds a whole multi-part document": OTHERS,
            "error: part 1 is a shell script by its type, and does not begin": WITHOUT_PREPENDS,
            "error: part 1 is base64, and the header that says so is dropped: cloud-init cannot read it": KARPENTER,
        },
    ),
    "boundary in a script": (
        by_hand(TYPED + b"\n#!/bin/sh\ncat <<X\n--OUT\nhi\nX\n\n"),
        {
            "error: part 2 has no type and follows a script: does the boundary 'OUT' occur": ALL,
            "warning: part 2 is of a kind that cloud-init does not know": ALL,
            **REFUSED,
        },
    ),
    "boundary in a line": (
        # Only a whole line is a boundary, for Go and for Python.
        by_hand(TYPED + b"\n#!/bin/sh\ngrep -- --OUT file\n\n"),
        {},
    ),
    "boundary in base64": (by_hand(IN_BASE64 + base64.encodebytes(b"#!/bin/sh\ngrep -- --OUT file\n")), CODED),
    "boundary that is not there": (
        GOOD.replace(b"\n--==amigen", b"\n--other"),
        {
            "error: names the boundary '==amigen-.*', and no line": ("karpenter",),
            "error: line .* nodeadm refuses the document": OTHERS,
        },
    ),
    "no boundary": (
        b"Content-Type: multipart/mixed\n\n--x\n\nhi\n--x--\n",
        {"error: is multi-part without a boundary": ALL, **REFUSED},
    ),
    "no end": (
        by_hand(TYPED + b"\n" + SCRIPT, end=b""),
        REFUSED,
    ),
    "no type": (
        by_hand(b"\nhello\n"),
        {"warning: part 1 is of a kind that cloud-init does not know: it is ignored": ALL},
    ),
    "no interpreter": (
        by_hand(TYPED + b"\necho hi\n"),
        {"error: part 1 is a shell script by its type, and does not begin with #!": (*WITHOUT_PREPENDS, "karpenter")},
    ),
    "a script for another program": (
        b"#!/usr/bin/env python3\nprint('hi')\n",
        {
            "error: is text/x-shellscript, and EKS": MNG,
            "error: part 1 is written for python3, and eksctl puts `#!/bin/bash` before it": EKSCTL,
        },
    ),
    "words of MIME in a script": (
        b"#!/bin/sh\n# MIME-Version: 1.0 is what mail says\necho mine\n",
        {"error: is text/x-shellscript, and EKS": MNG},
    ),
    "words of MIME and umlauts in a script": (
        "#!/bin/sh\n# MIME-Version: 1.0 is what mail says\necho ä\n".encode(),
        {
            "warning: holds `MIME-Version:` near its beginning, and more": OTHERS,
            "error: part 1 is without a transfer encoding, and holds more than ASCII .*drops the whole part": KARPENTER,
            "error: is text/x-shellscript, and EKS": MNG,
        },
    ),
    "DOS line endings": (
        by_hand(IN_BASE64 + base64.encodebytes(SCRIPT.replace(b"\n", b"\r\n"))),
        {"warning: the script part-001 has DOS line endings, but not in its first line": EKSCTL, **CODED},
    ),
    "DOS line ends, later": (
        by_hand(IN_BASE64 + base64.encodebytes(b"#!/bin/sh\necho mine\r\n")),
        {"warning: the script part-001 has DOS line endings, but not in its first line": OTHERS, **CODED},
    ),
    "packed with umlauts": (
        by_hand(PACKED + base64.encodebytes(gzip.compress("#!/bin/sh\necho ä\n".encode()))),
        {
            "error: part 1 is packed, and holds more than ASCII .*: cloud-init drops the whole part": OTHERS,
            **LOST,
        },
    ),
    "packed": (by_hand(PACKED + base64.encodebytes(gzip.compress(SCRIPT))), LOST),
    "a NodeConfig that is none": (
        by_hand(TYPED_NODE + b"kind: Pod\napiVersion: v1\n"),
        {"error: part 1: is not a NodeConfig of node.eks.aws/v1alpha1: apiVersion and kind are v1 Pod": ALL},
    ),
    "a NodeConfig that is no mapping": (
        by_hand(TYPED_NODE + b"[kind, NodeConfig]\n"),
        {"error: part 1: the NodeConfig is not a mapping": ALL},
    ),
    "a NodeConfig that is no YAML": (
        by_hand(TYPED_NODE + b"kind: [\n"),
        {"error: part 1: the NodeConfig is not valid YAML": ALL},
    ),
    "a NodeConfig with a mapping as key": (
        by_hand(TYPED_NODE + b"? {a: b}\n: c\n"),
        {"error: part 1: the NodeConfig has a key that is not text": ALL},
    ),
    "a NodeConfig without a cluster": (
        by_hand(TYPED_NODE + MORE),
        {"error: spec.cluster.name, .*are missing or empty: nodeadm does not start": ("self-managed",)},
    ),
    "too long": (
        b"#!/bin/sh\necho hi\n" + b"#" * (LIMIT - 17),
        {f"error: has {LIMIT + 1} bytes; EC2 takes {LIMIT}": ALL, "error: is text/x-shellscript, and EKS": MNG},
    ),
    "just short enough, in base64": (
        base64.b64encode(b"#!/bin/sh\necho hi\n" + b"#" * (LIMIT - 18)),
        {
            "error: is text/x-shellscript, and EKS": MNG,
            TEXT: ("karpenter", "eksctl"),
            f"error: has {LIMIT} bytes, and .* adds 1900 to 2560 of its own; EC2 takes {LIMIT} in all": MERGING,
        },
    ),
    "just short enough for the least that is added": (
        b"#!/bin/sh\necho hi\n" + b"#" * (LIMIT - 18 - 1900),
        {
            "error: is text/x-shellscript, and EKS": MNG,
            f"warning: has {LIMIT - 1900} bytes, and .* adds 1900 to 2560 of its own": MERGING,
        },
    ),
    "just short enough for the most that is added": (
        b"#!/bin/sh\necho hi\n" + b"#" * (LIMIT - 18 - 2560),
        {"error: is text/x-shellscript, and EKS": MNG},
    ),
}


@pytest.mark.parametrize("system", ALL)
@pytest.mark.parametrize("case", CASES)
def test_every_lint(case: str, system: SystemName) -> None:
    """Each document is told what is wrong with it in each system, and nothing else."""
    import re

    document, wanted = CASES[case]
    expected = [words for words, systems in wanted.items() if system in systems]
    read = parse(document)
    if system == "eksctl" and read.type not in (mime.SHELL, mime.NODE_CONFIG):
        expected.append(f"error: is {read.type}, and eksctl.* takes scripts .* and a NodeConfig")
    problems = explain(document, system).problems
    unread = any(p.reader == "nodeadm" and re.match("kind|mime-", p.rule) for p in problems)
    if system == "self-managed" and not unread and all(part.type != mime.NODE_CONFIG for part in read.parts):
        expected.append("error: nothing in it joins the node to a cluster")
    found = [f"{p.severity}: {p.message}" for p in problems]
    found = [line for line in found if not re.match(r"warning: spec\.\S+ is set by .* whose value wins$", line)]

    assert [words for words in expected if not any(re.match(words, line) for line in found)] == []
    assert [line for line in found if not any(re.match(words, line) for words in expected)] == []


def test_bytes_are_those_that_ec2_counts() -> None:
    """Before base64, whatever its line breaks and padding; and of gzip the packed ones."""
    for size in range(60, 64):
        content = b"#!/bin/sh\n" + b"#" * size
        for raw in (content, base64.b64encode(content), base64.encodebytes(content)):
            assert explain(raw, "self-managed").bytes == size + 10
    packed = gzip.compress(GOOD, mtime=0)
    assert explain(packed, "self-managed").bytes == explain(base64.b64encode(packed), "karpenter").bytes == len(packed)


@pytest.mark.parametrize("system", ALL)
def test_order_of_arrival(system: SystemName) -> None:
    """The system's own NodeConfig comes last, or first with eksctl, and its size is known only to it."""
    found = explain(GOOD, system).parts
    own = [(part.type, part.size) for part in found if part.origin == system]
    origins = {"self-managed": ["yours", "yours"], "eksctl": ["yours", system, "yours"]}

    assert [part.type for part in found[:2]] == [mime.SHELL, mime.NODE_CONFIG]
    assert [part.origin for part in found] == origins.get(system, ["yours", "yours", system])
    assert [(mime.NODE_CONFIG, None)] * (system != "self-managed") == own
    assert list(range(1, len(found) + 1)) == sorted(part.number for part in found)


@pytest.mark.parametrize(
    ("system", "path", "winner", "value"),
    [
        ("self-managed", "spec.cluster.name", "part 1 (yours)", "web"),
        ("self-managed", "spec.kubelet.config.maxPods", "part 2 (yours)", "110"),
        ("managed-node-group", "spec.kubelet.config.maxPods", "managed-node-group", "(set by managed-node-group)"),
        ("karpenter", "spec.cluster.name", "karpenter", "(set by karpenter)"),
        ("eksctl", "spec.kubelet.config.maxPods", "part 2 (yours)", "110"),
        ("eksctl", "spec.cluster.name", "part 1 (yours)", "web"),
        ("karpenter", "spec.kubelet.flags", "all of them, added up", "(set by karpenter)"),
    ],
)
def test_which_value_wins(system: SystemName, path: str, winner: str, value: str) -> None:
    """The last one that sets a field, but for flags, which are added up (nodeadm/internal/api/merge.go)."""
    document = written((mime.NODE_CONFIG, NODE), (mime.NODE_CONFIG, MORE))
    (field,) = [field for field in explain(document, system).fields if field.path == path]

    assert (winner, value) == (field.winner, field.value)


@pytest.mark.parametrize("origin", ["amigen", "yours"])
def test_a_script_that_runs_before_the_modules_are_there(origin: str) -> None:
    """cloud-init runs scripts by name: one that sorts before amigen's runs without modules, and is shown before it."""
    parts = (
        Part(type=mime.SHELL, content=SCRIPT, filename="00-amigen-bootstrap.sh"),
        Part(type=mime.SHELL, content=OTHER, filename="00-a.sh"),
        Part(type="text/x-shellscript-per-boot", content=OTHER, filename="z.sh"),
        Part(type=mime.NODE_CONFIG, content=NODE),
        Part(type=mime.CLOUD_CONFIG, content=b"#cloud-config\n{}\n"),
    )
    found = explain(mime.write(parts), "self-managed", origin=origin)

    assert [problem.message for problem in found.problems] == [
        "the script 00-a.sh runs before amigen's 00-amigen-bootstrap.sh: modules are not there yet",
        "text/x-shellscript-per-boot z.sh runs before amigen's 00-amigen-bootstrap.sh: modules are not there yet",
    ]
    assert [part.number for part in found.parts] == [5, 3, 2, 1, 4]
    assert {part.origin for part in found.parts if part.filename == "00-amigen-bootstrap.sh"} == {"amigen"}


def test_names_that_karpenter_drops_are_shown() -> None:
    """A person who looks for the file on the node finds it."""
    document = mime.write((Part(type=mime.SHELL, content=SCRIPT, filename="00-amigen-bootstrap.sh"),))
    part = explain(document, "karpenter").parts[0]

    assert (part.filename, part.named, part.origin) == ("part-001", "00-amigen-bootstrap.sh", "amigen")


@pytest.mark.parametrize("system", ALL)
def test_without_nodeadm_nothing_is_merged(system: SystemName) -> None:
    """On Ubuntu every system passes a shell script on, and says of itself what is true there."""
    found = explain(SCRIPT + b"/etc/eks/bootstrap.sh web\n", system, nodeadm=False)
    alone = explain(SCRIPT, system, nodeadm=False)

    assert (found.problems, len(found.parts)) == ((), 1)
    assert bool(alone.problems) == (system != "eksctl")
    assert "without a custom AMI" not in found.about.title


@pytest.mark.parametrize(
    "config",
    [
        b"spec: {cluster: {name: " + b"1:" * 300 + b"1.0}}",
        b"spec: {cluster: {name: 0x" + b"f" * 5000 + b"}}",
        b"spec: 0x" + b"f" * 5000,
        b"spec: " + b"1:" * 200_000 + b"1",
        b'spec: {a: !!int "", b: !!timestamp x, c: !!binary =, d: !!python/object/apply:os.system [id]}',
        b"spec: &a [*a]",
        b"spec: [" * 5000,
        b"a: &a " + b"x" * 500_000 + b"\nspec: {b: [" + b"*a," * 20_000 + b"]}",
        b'spec: {a: "\\e[31m\\ud800"}',
        b"\xff\xfe",
        b"kind: [NodeConfig]\napiVersion: {a: b}",
    ],
    ids=lambda config: config[:24].decode("latin-1"),
)
def test_a_hostile_node_config_is_data(config: bytes) -> None:
    """Numbers of a million digits, tags, bombs: explained or told, within a moment, and never obeyed."""
    document = by_hand(TYPED_NODE + b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n" + config + b"\n")
    for system in ALL:
        assert len(json.dumps([field.value for field in explain(document, system).fields])) < 100_000


amigen = partial(run, "user-data")


def spec_file(folder: Path, *changes: dict[str, object]) -> str:
    (folder / "spec.yaml").write_text(yaml.safe_dump(mapping(*changes)))
    return str(folder / "spec.yaml")


def test_explain_for_a_person_and_for_a_program(tmp_path: Path) -> None:
    """Errors end with a code of their own; JSON holds the same findings."""
    (tmp_path / "x.sh").write_bytes(SCRIPT)
    text = amigen("explain", str(tmp_path / "x.sh"), "--for", "managed-node-group")
    as_json = amigen("explain", str(tmp_path / "x.sh"), "--for", "managed-node-group", "--output", "json")

    assert (text.returncode, as_json.returncode) == (14, 14)
    assert b"error: is text/x-shellscript, and EKS managed node group" in text.stdout
    assert [p["severity"] for p in json.loads(as_json.stdout)["problems"]] == ["error"]


@pytest.mark.parametrize("system", ALL)
def test_explain_a_spec(system: str) -> None:
    """What amigen makes for EKS arrives everywhere but with eksctl, which takes no multi-part."""
    spec = GOLDEN / "eks-al2023-ipvs" / "spec.yaml"
    done = amigen("explain", str(spec), "--for", system, "--output", "json")
    errors = [p["message"] for p in json.loads(done.stdout)["problems"] if p["severity"] == "error"]

    assert (len(errors), done.returncode) == ((1, 14) if system == "eksctl" else (0, 0))


def test_explain_shows_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    """Control characters of somebody else's document are shown as escapes."""
    value = by_hand(TYPED_NODE + NODE.replace(b"name: web", b'name: "\\e]0;owned\\a"'))
    done = amigen("explain", "-", "--for", "self-managed", stdin=value)

    assert b"\x1b" not in done.stdout
    assert rb"\x1b]0;owned\x07" in done.stdout


def test_merge_gzip_and_base64_on_the_command_line(tmp_path: Path) -> None:
    """The document is the same in all wrappings, and the merged script stands behind amigen's."""
    (tmp_path / "mine.sh").write_bytes(SCRIPT)
    asked = [spec_file(tmp_path, {"gate": False}), "--merge", str(tmp_path / "mine.sh")]
    plain, packed, both = (
        amigen(*asked, *more).stdout for more in (("--no-gzip",), ("--gzip",), ("--gzip", "--base64"))
    )

    assert plain.startswith(b"MIME-Version: 1.0\n")
    assert plain == gzip.decompress(packed) == gzip.decompress(base64.b64decode(both))
    assert both.count(b"\n") == 1
    assert [part.type for part in parse(plain).parts] == [mime.SHELL, mime.SHELL]
    assert parse(plain).parts[1].content == SCRIPT


def test_show_one_part(tmp_path: Path) -> None:
    """What is packed is shown as it was written; a place that is none is an error."""
    spec = GOLDEN / "eks-al2023-ipvs" / "spec.yaml"
    shown, none = (amigen("explain", str(spec), "--for", "karpenter", "--show", n) for n in ("1", "9"))

    assert shown.stdout.startswith(b"#!/usr/bin/env bash\n# amigen ")
    assert shown.stdout.endswith(b"\nmain\n")
    assert (none.returncode, none.stdout) == (14, b"")


def test_what_is_too_long_is_told_with_sizes(tmp_path: Path) -> None:
    """Exit code 12, nothing on stdout, and each part with its bytes."""
    import hashlib

    noise = base64.b64encode(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(700))).decode()
    spec = spec_file(tmp_path, joins(), {"files": [{"path": "/etc/noise", "contentBase64": noise}]})
    (tmp_path / "mine.sh").write_bytes(SCRIPT)
    done = amigen(spec, "--merge", str(tmp_path / "mine.sh"))

    assert (done.returncode, done.stdout) == (12, b"")
    lines = done.stderr.decode().splitlines()
    assert "EC2 takes 16384 (before base64)" in lines[0]
    assert [line.strip().rsplit(": ", 1)[0].removesuffix(" 00-amigen-bootstrap.sh") for line in lines[1:4]] == [
        "amigen: text/x-shellscript",
        "yours: text/x-shellscript",
        "amigen: application/node.eks.aws amigen-node-config.yaml",
    ]


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    """--show takes no --output, and the platform of a file is a known one: on Ubuntu nodeadm reads nothing."""
    (tmp_path / "x.sh").write_bytes(SCRIPT + b"/etc/eks/bootstrap.sh web\n")
    asked = ("explain", str(tmp_path / "x.sh"), "--for", "managed-node-group")

    assert amigen(*asked, "--show", "1", "--output", "json").returncode == 2
    assert b"known: al2023" in amigen(*asked, "--platform", "al2024").stderr
    assert (amigen(*asked, "--platform", "ubuntu-24.04").returncode, amigen(*asked).returncode) == (0, 14)
