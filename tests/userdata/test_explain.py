"""`user-data explain`: documents that others wrote, in all four systems, with every lint seen."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amigen.userdata import mime
from amigen.userdata.document import parse
from amigen.userdata.explain import explain
from amigen.userdata.mime import Part
from amigen.userdata.size import LIMIT
from amigen.userdata.systems import SYSTEMS, SystemName
from tests.specs import GOLDEN, ROOT, joins, mapping

SCRIPT = b"#!/bin/sh\necho mine\n"
NODE = b"""\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster: {name: web, apiServerEndpoint: https://x, certificateAuthority: AAAA, cidr: 10.100.0.0/16}
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
TYPED_NODE = b"Content-Type: application/node.eks.aws\n\n"
NESTED = b'Content-Type: multipart/mixed; boundary="IN"\n\n--IN\n' + TYPED + b"\n" + SCRIPT + b"--IN--\n\n"

ALL = tuple(SYSTEMS)
MERGING: tuple[SystemName, ...] = ("managed-node-group", "karpenter", "eksctl")
MNG: tuple[SystemName, ...] = ("managed-node-group",)
# A document -> the words of each error and warning, and the systems for which it is said. Nothing else may be said, but
# what every multi-part document hears from eksctl, and who sets the cluster.
CASES: dict[str, tuple[bytes, dict[str, tuple[SystemName, ...]]]] = {
    "good": (GOOD, {}),
    "good in base64": (base64.encodebytes(GOOD), {}),
    "plain shell": (SCRIPT, {"error: is text/x-shellscript, and EKS managed node group": MNG}),
    "cloud-config": (b"#cloud-config\n{}\n", {"error: is text/cloud-config, and EKS managed node group": MNG}),
    "NodeConfig alone": (NODE, {"error: is application/node.eks.aws, and EKS managed": MNG}),
    "nothing": (b"\n", {"warning: is empty": ALL, "error: is text/plain, and EKS managed": MNG}),
    "no kind": (
        b"apt-get install htop\n",
        {"error: is of no kind that cloud-init or nodeadm knows": ALL, "error: is text/plain, and EKS managed": MNG},
    ),
    "gzip": (gzip.compress(GOOD), {"error: is gzip as a whole, and .* must read it to merge": MERGING}),
    "gzip that is cut": (
        gzip.compress(GOOD)[:-9],
        {"error: the gzip data": ALL, "error: is application/gzip, and": MNG, "error: is gzip as a whole": MERGING},
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
            "error: part 1 holds a whole multi-part document": ALL,
            "error: part 1 is a shell script by its type, and does not begin": ALL,
        },
    ),
    "boundary in a script": (
        by_hand(TYPED + b"\n#!/bin/sh\ncat <<X\n--OUT\nhi\nX\n\n"),
        {
            "error: part 2 has no type and follows a script: does the boundary 'OUT' occur": ALL,
            "warning: part 2 is of no kind that cloud-init knows": ALL,
        },
    ),
    "boundary in a line": (
        by_hand(TYPED + b"\n#!/bin/sh\ngrep -- --OUT file\n\n"),
        {"error: the boundary 'OUT' occurs inside part 1": ALL},
    ),
    "boundary in base64": (by_hand(IN_BASE64 + base64.encodebytes(b"#!/bin/sh\ngrep -- --OUT file\n")), {}),
    "boundary that is not there": (
        GOOD.replace(b"\n--==amigen", b"\n--other"),
        {"error: names the boundary '==amigen-.*', and no line": ALL},
    ),
    "no boundary": (
        b"Content-Type: multipart/mixed\n\n--x\n\nhi\n--x--\n",
        {"error: is multi-part without a boundary": ALL},
    ),
    "no end": (
        by_hand(TYPED + b"\n" + SCRIPT, end=b""),
        {"warning: has no closing boundary: the last part may be cut": ALL},
    ),
    "no type": (
        by_hand(b"\nhello\n"),
        {"warning: part 1 is of no kind that cloud-init knows: it is ignored": ALL},
    ),
    "no interpreter": (
        by_hand(TYPED + b"\necho hi\n"),
        {"error: part 1 is a shell script by its type, and does not begin with #!": ALL},
    ),
    "words of MIME in a script": (
        b"#!/bin/sh\n# MIME-Version: 1.0 is what mail says\n",
        {"error: holds `MIME-Version:` near its beginning": ALL, "error: is text/x-shellscript, and EKS": MNG},
    ),
    "DOS line ends": (
        by_hand(IN_BASE64 + base64.encodebytes(SCRIPT.replace(b"\n", b"\r\n"))),
        {r"error: the script \(no name\) has DOS line ends: the kernel looks for '#!/bin/sh\\r'": ALL},
    ),
    "packed with umlauts": (
        by_hand(PACKED + base64.encodebytes(gzip.compress("#!/bin/sh\necho ä\n".encode()))),
        {"error: part 1 is packed, and holds more than ASCII: cloud-init garbles it": ALL},
    ),
    "packed": (by_hand(PACKED + base64.encodebytes(gzip.compress(SCRIPT))), {}),
    "a NodeConfig that is none": (
        by_hand(TYPED_NODE + b"kind: Pod\napiVersion: v1\n"),
        {"error: part 1 is typed as NodeConfig and is v1 Pod": ALL},
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
        {"error: part 1: the NodeConfig cannot be read: .*unhashable key": ALL},
    ),
    "a NodeConfig without a cluster": (
        by_hand(TYPED_NODE + MORE),
        {"error: the NodeConfig lacks spec.cluster.name, .*nodeadm does not start": ("self-managed",)},
    ),
    "too long": (
        b"#!/bin/sh\n" + b"#" * LIMIT,
        {f"error: has {LIMIT + 10} bytes; EC2 takes {LIMIT}": ALL, "error: is text/x-shellscript, and EKS": MNG},
    ),
    "just short enough, in base64": (
        base64.b64encode(b"#!/bin/sh\n" + b"#" * (LIMIT - 10)),
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
    if system == "eksctl" and parse(document).type == mime.MULTIPART:
        expected.append("error: eksctl takes scripts .* and a NodeConfig .*, not multi-part")
    found = [f"{p.severity}: {p.message}" for p in explain(document, system).problems]
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
    """The system's own NodeConfig comes last, and its size is known only to it."""
    found = explain(GOOD, system).parts
    own = [(part.type, part.size) for part in found if part.origin == system]

    assert [part.type for part in found[:2]] == [mime.SHELL, mime.NODE_CONFIG]
    assert [(mime.NODE_CONFIG, None)] * (system != "self-managed") == own
    assert list(range(1, len(found) + 1)) == [part.number for part in found]


@pytest.mark.parametrize(
    ("system", "path", "winner", "value"),
    [
        ("self-managed", "spec.cluster.name", "part 1 (yours)", "web"),
        ("self-managed", "spec.kubelet.config.maxPods", "part 2 (yours)", "110"),
        ("managed-node-group", "spec.kubelet.config.maxPods", "managed-node-group", "(set by managed-node-group)"),
        ("karpenter", "spec.cluster.name", "karpenter", "(set by karpenter)"),
        ("eksctl", "spec.kubelet.config.maxPods", "part 2 (yours)", "110"),
        ("karpenter", "spec.kubelet.flags", "all of them, added up", "(set by karpenter)"),
    ],
)
def test_which_value_wins(system: SystemName, path: str, winner: str, value: str) -> None:
    """The last one that sets a field, but for flags, which are added up (nodeadm/internal/api/merge.go)."""
    document = written((mime.NODE_CONFIG, NODE), (mime.NODE_CONFIG, MORE))
    (field,) = [field for field in explain(document, system).fields if field.path == path]

    assert (winner, value) == (field.winner, field.value)


def test_a_script_that_runs_before_the_modules_are_there() -> None:
    """cloud-init runs scripts by name: one that sorts before amigen's runs without modules."""
    parts = (
        Part(type=mime.SHELL, content=SCRIPT, filename="00-amigen-bootstrap.sh"),
        Part(type=mime.SHELL, content=SCRIPT, filename="00-a.sh"),
    )
    found = explain(mime.write(parts), "self-managed", origin="amigen").problems

    assert [problem.message for problem in found] == [
        "the script 00-a.sh runs before amigen's 00-amigen-bootstrap.sh: modules are not there yet"
    ]


def test_without_nodeadm_nothing_is_merged() -> None:
    """On Ubuntu every system passes these bytes on: a shell script is right everywhere."""
    for system in ALL:
        found = explain(SCRIPT, system, nodeadm=False)
        assert (found.problems, len(found.parts)) == ((), 1)


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


def amigen(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "amigen", "user-data", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
    )


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
    # Within the limit, so that nothing is packed unasked.
    small: dict[str, object] = {"kubeProxy": {"mode": "iptables"}}
    asked = [spec_file(tmp_path, joins(), small), "--merge", str(tmp_path / "mine.sh")]
    plain, packed, both = (amigen(*asked, *more).stdout for more in ((), ("--gzip",), ("--gzip", "--base64")))

    assert plain.startswith(b"MIME-Version: 1.0\n")
    assert plain == gzip.decompress(packed) == gzip.decompress(base64.b64decode(both))
    assert both.count(b"\n") == 1
    assert [part.type for part in parse(plain).parts] == [mime.SHELL, mime.SHELL, mime.NODE_CONFIG]
    assert parse(plain).parts[1].content == SCRIPT


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
        "amigen: application/node.eks.aws",
    ]
