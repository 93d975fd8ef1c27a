"""Quoting: what goes in as text comes out as that text, in the eyes of each language itself."""

# ruff: noqa: E501 - a table of texts

from __future__ import annotations

import ast
import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amigen.base import quoting

HOSTILE = [
    "", " ", "'", '"', "\\", "\\'", "'\\''", "$(id)", "`id`", "${HOME}", "$HOME", "a\nb", "\n", "a\tb", "-n", "-e \\x41", "*", "~", "!!", "#x",
    "a;b", "a|b", "a&b", "<(x)", "{a,b}", "{{ x }}", "{% raw %}", "%{ if true }", "%%{", "$${x}", "$$${x}", "$", "$$", "%", "ä😀", "\x01\x7f",
    "\r\n", "\x85\u2028", "EOF", "a=b", "é\udc80"[:1], "=", "-", "--", "[a]", "(", ")", "\\u0041", "\\n", '"; rm -rf /; "', "${jsonencode(1)}",
]  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
LISTS = st.lists(st.one_of(st.sampled_from(HOSTILE), TEXT), max_size=40)


def bash_prints(command: str) -> list[str]:
    """What a command of bash prints, split at the NULs between its words."""
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, check=True, timeout=300, env={"PATH": "/usr/bin:/bin"}
    )
    return done.stdout.decode().split("\0")[:-1]


@settings(max_examples=30)
@example(HOSTILE)
@given(LISTS)
def test_bash_reads_sh_back(values: list[str]) -> None:
    """Each quoted word is one argument of bash, with the same characters."""
    command = "printf '%s\\0' " + " ".join(quoting.sh(value) for value in values)

    assert values == (bash_prints(command) if values else [])


@settings(max_examples=15)
@example(HOSTILE)
@given(LISTS)
def test_bash_reads_words_back_as_an_array(values: list[str]) -> None:
    """The form in which templates write arrays and arguments."""
    command = f'set -f; a=({quoting.words(values)[1:]}); printf \'%s\\0\' "${{#a[@]}}" "${{a[@]}}"'

    assert [str(len(values)), *values] == (bash_prints(command) if values else ["0"])


@given(st.text())
def test_sh_of_plain_words_is_plain(value: str) -> None:
    """Only words without any special character go unquoted."""
    if "\0" not in value and quoting.sh(value) == value:
        assert re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", value)


def test_sh_refuses_a_nul() -> None:
    """No argument can hold one; cutting it silently would be wrong."""
    with pytest.raises(ValueError, match="NUL"):
        quoting.sh("a\0b")


HCL_VALUES = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))


def hcl_reads(quoted: str) -> str:
    """A quoted HCL string as its specification reads it (hclsyntax/spec.md, quoted template)."""
    assert quoted[0] == quoted[-1] == '"'
    inner, out, at = quoted[1:-1], [], 0
    while at < len(inner):
        two, three = inner[at : at + 2], inner[at : at + 3]
        assert inner[at] not in '"\n', "ends the string"
        if three in ("$${", "%%{"):
            out.append(three[1:])
            at += 3
        elif two in ("${", "%{"):
            raise AssertionError("begins a template")
        elif two[0] == "\\" and two[1] in 'nrt"\\':
            out.append({"n": "\n", "r": "\r", "t": "\t"}.get(two[1], two[1]))
            at += 2
        elif two == "\\u":
            out.append(chr(int(inner[at + 2 : at + 6], 16)))
            at += 6
        else:
            assert inner[at] != "\\", "unknown escape"
            out.append(inner[at])
            at += 1
    return "".join(out)


@given(HCL_VALUES)
def test_hcl_string_is_read_back(value: str) -> None:
    """By HCL's own rules, the literal is that text, and no template begins in it."""
    assert value == hcl_reads(quoting.hcl(value))


@pytest.mark.skipif(not shutil.which("packer"), reason="needs packer")
def test_packer_reads_hcl_back(tmp_path: Path) -> None:
    """The real parser: Packer prints the very texts that were quoted."""
    lines = [f"  v{number} = {quoting.hcl(value)}" for number, value in enumerate(HOSTILE)]
    (tmp_path / "x.pkr.hcl").write_text("locals {\n" + "\n".join(lines) + "\n}\n")
    # One expression, because the console answers only the last line of its input; base64, because it prints as it likes.
    asked = f'join(",", [for v in [{", ".join(f"local.v{n}" for n in range(len(HOSTILE)))}] : base64encode(v)])'
    done = subprocess.run(
        ["packer", "console", "-config-type=hcl2", str(tmp_path)],
        input=asked,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = [base64.b64decode(word).decode() for word in done.stdout.strip().split(",")]

    assert printed == HOSTILE, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "null"), (True, "true"), (False, "false"), (7, "7"), (-1, "-1"), ("a", '"a"'), ([], "[]"), ({}, "{}"),
        (["a", 1, None], '["a", 1, null]'), ({"a b": ["${x}"]}, '{ "a b" = ["$${x}"] }'), (("x",), '["x"]'),
    ],
)  # fmt: skip
def test_hcl_of_other_values(value: object, literal: str) -> None:
    """Numbers, booleans, lists and maps."""
    assert literal == quoting.hcl(value)


@given(st.text())
def test_a_comment_is_one_line(value: str) -> None:
    """Nothing that any language takes for a line end leaves a comment."""
    assert len(("# " + quoting.comment(value) + "x").splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f]", quoting.comment(value))


PY_LEAVES = st.one_of(st.text(), st.sampled_from(HOSTILE), st.none(), st.booleans(), st.integers())
PY_VALUES = st.recursive(
    PY_LEAVES, lambda inner: st.one_of(st.lists(inner).map(tuple), st.dictionaries(st.text(), inner)), max_leaves=8
)


@given(PY_VALUES)
def test_python_reads_py_back(value: object) -> None:
    """A literal of Python: strings, numbers, None, tuples and dicts."""
    assert value == ast.literal_eval(quoting.py(value))
