"""What tools, nodes and clouds answer may be anything: only the documented errors leave a parser.

Hypothesis cuts, repeats, swaps and changes what is well-formed; `python -m tests.fuzz` searches by coverage.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, TOKEN
from tests.hostile.corpus import strings

_PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([text.encode("utf-8", "surrogateescape") for text in strings() if len(text) < 80]),
    st.sampled_from(
        [
            *(
                b"\n",
                b" ",
                b"\0",
                b"-1",
                b"9" * 30,
                b"0x" + b"f" * 5000,
                b"1:1:" * 200 + b"1.0",
                b'!!int ""',
                b"inet 1.2 ",
            ),
            *(b"!!timestamp x", b"!!binary =", b"[" * 3000, b'{"a":' * 3000, b"null", b"[]", b"{}", b"&a", b"*a"),
            *(b"\xff\xfe", b"\xed\xa0\x80", b"1e999", b"NaN", b"true", b"2026-13-45", b"::1", b"%!(PACKER_COMMA)"),
            TOKEN.encode() + b" code 0",
        ]
    ),
)


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with some pieces taken out, put in, or put in place of words."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        content = content[:start] + draw(_PIECES) + content[end:]
    return content[: draw(st.sampled_from([len(content), len(content) // 2]))] if draw(st.booleans()) else content


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors(name: str) -> None:
    """Whatever a tool prints."""
    target = TARGETS[name]

    @settings(max_examples=150)
    @example(b"")
    @example(b"\xff\xfe\0\0")
    @example(b'!!int ""')
    @example(b'{"a": ' * 5000)
    @example(b"[" * 5000)
    @given(st.one_of(changed(target.seeds), st.binary(max_size=64)))
    def run(content: bytes) -> None:
        try:
            target.run(content)
        except target.errors:
            return

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_understood(name: str) -> None:
    """The search begins at what the parser takes, and not at what it refuses in its first line."""
    target = TARGETS[name]
    taken = 0
    for seed in target.seeds:
        try:
            target.run(seed)
        except target.errors:
            continue
        taken += 1

    assert taken or name in ("build record", "ledger"), name
