"""From bytes to a node tree: what is no YAML, and what would hurt."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml

from amigen.base.errors import SpecError
from amigen.spec import document
from amigen.spec.load import check_bytes, parse_spec
from tests.specs import MINIMAL

GOOD = yaml.safe_dump(MINIMAL, sort_keys=False)


def only(content: bytes) -> tuple[int, int, str]:
    """Place and message of the one problem of a document."""
    (problem,) = check_bytes(content).problems
    return problem.line, problem.column, problem.message


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (b"", 0, 0, "is empty"),
        (b"# only a comment\n", 0, 0, "is empty"),
        (b"a: 1\nb: [1, 2\nc: 3\n", 3, 2, "is not valid YAML: .*',' or '\\]'"),
        (b"a: 1\n\tb: 2\n", 2, 1, "is not valid YAML: .*indented with a tab"),
        (b"a: 1\n--- \nb: 2\n", 2, 1, "holds another document"),
        (b"a: *nowhere\n", 1, 4, "is not valid YAML: found undefined alias"),
        (b"name: caf\xe9\n", 1, 10, "is not UTF-8 text"),
        (b"a: \xc3\xa4\nname: \xc3\xa4\xe9\n", 2, 8, "is not UTF-8 text"),
        (GOOD.encode("utf-16"), 1, 1, "is not UTF-8 text"),
        (b"name: \xc3\xa4\x07\n", 1, 8, r"contains the control character U\+0007"),
        (b"a: 'open\n", 1, 4, "is not valid YAML: .*quoted scalar"),
    ],
)
def test_broken_documents_have_a_place_and_a_reason(content: bytes, line: int, column: int, message: str) -> None:
    """What is no YAML document is one problem, with line and column where there are such."""
    found = only(content)

    assert (line, column) == found[:2]
    assert re.search(message, found[2])


def test_byte_order_mark_is_skipped() -> None:
    """Editors of Windows put a mark before UTF-8; it is no part of the first key."""
    assert check_bytes(b"\xef\xbb\xbf" + GOOD.encode()).problems == ()


def test_dos_line_ends_are_line_ends() -> None:
    """A spec that was saved on Windows reads the same."""
    assert parse_spec(GOOD.replace("\n", "\r\n")) == parse_spec(GOOD)


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        (
            b"kind: Pod\napiVersion: v1\nmetadata: {}\n",
            "is a Pod of v1, and not a NodeImage of amigen/v1alpha1",
            "init",
        ),
        (b"kind: NodeConfig\napiVersion: node.eks.aws/v1alpha1\n", "is a NodeConfig of node", "join.eks"),
    ],
)
def test_a_document_of_another_program_is_one_problem(document: bytes, message: str, hint: str) -> None:
    (problem,) = check_bytes(document).problems

    assert (problem.path, problem.line) == ("kind", 1)
    assert message in problem.message
    assert hint in problem.hint


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    """One byte over the limit."""
    assert "more than 1048576" in only(b" " * (document.MAX_BYTES + 1))[2]


@pytest.mark.parametrize("opening", ["- ", "[", "{a: ", "? ", "a:\n"], ids=repr)
def test_deep_nesting_is_refused(opening: str) -> None:
    """400,000 levels neither recurse through C nor take long."""
    text = opening * 400_000 if opening != "a:\n" else "".join(" " * i + "a:\n" for i in range(1200))
    _, _, message = only(text[: document.MAX_BYTES].encode())

    assert re.search("nested deeper than 32|not valid YAML", message)


def test_a_bomb_of_aliases_is_refused() -> None:
    """Aliases count at each use, so that ten lines cannot stand for a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]

    assert "aliases counted" in only("\n".join(lines).encode())[2]


def test_an_alias_of_itself_is_refused() -> None:
    """A list that holds itself has no end."""
    assert "refers to itself" in only(b"files: &f [*f]\n")[2]


def test_an_alias_of_a_whole_value_is_followed() -> None:
    """An alias is what it stands for."""
    text = GOOD + "kubeProxy: {mode: iptables}\narchitectures: &a [arm64]\naws: {copyRegions: []}\n"
    text += "hooks: {before: &h [{name: one, script: ls}], after: []}\nlocal: {}\n"

    assert parse_spec(text.replace("[arm64]", "[&x arm64]")).architectures == ("arm64",)


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("name: !!python/object/apply:os.system [id]", "name", "expected text, found a list|with the tag"),
        ("name: !mine x", "name", "expected text, found a value with the tag !mine"),
        ("gate: !!bool maybe", "gate", "expected true or false"),
        ('local: {cpus: !!int ""}', "local.cpus", "out of range|expected a whole number"),
        ("local: {cpus: !!int abc}", "local.cpus", "out of range|expected a whole number"),
        ("local: !!null something", "local", "expected a mapping"),
        ("local: !!null [a]", "local", "expected a mapping"),
        ("gate: !!bool [yes]", "gate", "expected true or false"),
        ("packages: !!str [a]", "packages", "expected a list"),
        ("local: !mine {cpus: 2}", "local", "expected a mapping"),
        ("kind: !!binary Tm9kZUltYWdl", "kind", "unsupported value"),
    ],
)
def test_tags_make_no_objects(line: str, path: str, message: str) -> None:
    """A tag is a wrong type and never a constructor; one that lies about its value is told."""
    key = line.split(":")[0]
    text = "".join(f"{one}\n" for one in GOOD.splitlines() if not one.startswith(f"{key}:")) + line + "\n"
    found = check_bytes(text.encode()).problems

    assert [p.path for p in found] == [path]
    assert re.search(message, found[0].message)


def test_text_of_a_library_user_may_hold_half_a_surrogate_pair() -> None:
    """It cannot be encoded, so it is refused as what it is: no UTF-8."""
    with pytest.raises(SpecError, match="not UTF-8"):
        parse_spec(GOOD + 'x: "\ud800"\n')


_PURE = """
import json, sys, yaml
del yaml.CSafeLoader, yaml.CSafeDumper
from amigen.spec.load import check_bytes
print(json.dumps([[[p.line, p.path] for p in check_bytes(text.encode()).problems] for text in json.load(sys.stdin)]))
"""


def test_pure_python_yaml_reads_the_same() -> None:
    """Where PyYAML comes without libyaml, places are the same."""
    texts = [GOOD, "name: 3\nplatforms: x\n", "[" * 3000, "a: [1\n", "name: \x07\n", "a: &x 1\nb: &x 2\nc: *y\n"]
    with_c = [[[p.line, p.path] for p in check_bytes(text.encode()).problems] for text in texts]
    done = subprocess.run([sys.executable, "-c", _PURE], input=json.dumps(texts), text=True, capture_output=True)

    assert done.stderr == ""
    # Of a list that is not closed, libyaml names another line.
    assert [*json.loads(done.stdout)[:3], *json.loads(done.stdout)[4:]] == [*with_c[:3], *with_c[4:]]
    assert all(json.loads(done.stdout)[1:])
