"""Values that Python itself stumbles over: each is answered with findings, at once."""

from __future__ import annotations

import pytest

from amigen.kubeproxy.fields import refusals
from amigen.userdata.explain import explain
from amigen.userdata.gomime import read

NINES, HEX = "9" * 5000, "0x" + "f" * 6000
NODE = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster: {{name: b, apiServerEndpoint: https://x, certificateAuthority: AAAA, cidr: 10.0.0.0/16}}
  kubelet: {}
"""
JINJA = "## template: jinja\n#cloud-config\n{}\nx: 1\n"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (NODE.format("{config: {shutdownGracePeriod: 1.2.3s, shutdownGracePeriodCriticalPods: 1s}}"), "a duration"),
        (NODE.format("{config: {imageMinimumGCAge: 1s1.2.3s}}"), "a duration"),
        (NODE.format("{flags: ['--image-gc-high-threshold=²']}"), "a whole number"),
        (NODE.format(f"{{flags: ['--image-gc-high-threshold={NINES}']}}"), "a whole number"),
        (NODE.format(f"{{config: {{maxPods: {HEX}}}}}"), "a whole number"),
        (NODE.format(f"{{flags: ['--reserved-memory=0:a={':a='.join(['1' * 40] * 9)}!=']}}"), "NODE:memory=QUANTITY"),
        (NODE.format("{}") + "x: \"\\'" + '\\"' * 40000, "YAML"),
        ("#cloud-config-archive\n- {1: a, null: b, content: '#!/bin/sh'}\n", ""),
        (f"#cloud-config\nruncmd: [{HEX}]\n", "more than 3,000 digits"),
        (f"#cloud-config\nruncmd: [{NINES}]\n", "digits"),
        (JINJA.format("{{ " + "(" * 3000), "nested too deeply"),
        (JINJA.format("{{ 1|nosuch }}"), "there is no filter 'nosuch'"),
        (JINJA.format("{% if 1 is nosuch %}{% endif %}"), "there is no test 'nosuch'"),
        (JINJA.format("{{ 10**10**10 }}"), ""),
        (JINJA.format("{{ 'a'|center(10000000000) }}"), ""),
        (JINJA.format("{% do [].append(1) %}{% if v is defined %}{% endif %}"), ""),
    ],
)
def test_explain_answers(document: str, says: str) -> None:
    found = [p.message for p in explain(document.encode(), "self-managed").problems if p.rule != "nothing-joins"]

    assert any(says in message for message in found) if says else not any("jinja" in message for message in found)


@pytest.mark.parametrize(
    "piece", ["cat <<E\n", "cp ", "echo 'a # don\n", 'echo "\\', "cat > /etc/eks/nodeadm.d/x.yaml <<E\na\nE\n"]
)
def test_a_long_script_is_read_once(piece: str) -> None:
    assert explain(b"#!/bin/bash\n" + piece.encode() * 40000, "self-managed").parts


@pytest.mark.timeout(120)
@pytest.mark.parametrize("piece", [b"A: b\n", b"\n", b"--b \n"])
def test_a_long_mime_document_is_read_once(piece: bytes) -> None:
    """400,000 headers, lines before a boundary, and boundaries; a second look at each would take many minutes."""
    head = b"Content-Type: multipart/mixed; boundary=b\n\n" + (b"--b\n" if piece == b"A: b\n" else b"")
    assert read(head + piece * 400_000).multipart


@pytest.mark.parametrize("port", ["²", NINES, "65536", ""])
def test_a_wrong_port_is_refused(port: str) -> None:
    assert list(refusals({"metricsBindAddress": f"1.2.3.4:{port}"}, "ipvs", "1.37"))
