"""Values that Python stumbles over: a finding or none, never a traceback."""

from __future__ import annotations

import pytest

from amigen.userdata.explain import explain

_MERGED = (
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
    b"--B\nContent-Type: text/cloud-config\n\na: {b: [1]}\n"
    b"--B\nContent-Type: text/cloud-config\n\na: {b: [2]}\nmerge_how: [{name: dict, settings: [[1]]}]\n--B--\n"
)
_NODE = b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {containerd: {config: 'a=%s'}}\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#cloud-config\nfoo: .nan\n", "nothing in it joins"),
        (b"#cloud-config\nwrite_files: [{path: /a, content: x, permissions: 644.0}]\n", "nothing in it joins"),
        (_MERGED, "a way of merging that cloud-init cannot read"),
        (b"MIME-Version: 1.0\nContent-Type: message/rfc822\n\n" * 2000, ""),
        (_NODE % (b"[" * 3000), "nested too deeply"),
        (b"## template: jinja\n#cloud-config\na: {{ " + b"9" * 5000 + b" }}\n", "a number in it is too long"),
        (b"apt-get update\napt-get install -y foo\n", "begin with #!"),
        (b"xset q; echo a\n", "begin with #!"),
    ],
    ids=["NaN", "float mode", "list as option", "mail in mail", "deep TOML", "long number", "commands", "x"],
)
def test_no_traceback(content: bytes, said: str) -> None:
    assert said in "\n".join(f"{each.message}; {each.hint}" for each in explain(content, "self-managed").problems)
