"""Read a Content-Type as Go's `mime.ParseMediaType` does (Go 1.26, mime/mediatype.go)."""

from __future__ import annotations

import re
from urllib.parse import unquote

# What Go's unicode.IsSpace takes for white space.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# A token of RFC 2045.
_WORD = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
_ESCAPED = r'\\([()<>@,;:\\"/[\]?=])'
# `; name=value`, or with the value in quotes.
_PARAMETER = re.compile(
    rf'[{SPACE}]*;[{SPACE}]*({_WORD})[{SPACE}]*=[{SPACE}]*(?:({_WORD})|"((?:{_ESCAPED}|[^"\r\n])*+)")'
)


def media_type(value: str) -> tuple[str, str]:
    """`mime.ParseMediaType`: the type in lower case, and its boundary; empty where it has none.

    Raises:
        ValueError: With Go's message.
    """
    base = value.split(";", 1)[0]
    kind = base.lower().strip(SPACE)
    if not re.fullmatch(rf"{_WORD}(/{_WORD})?", kind):
        raise ValueError(_bad_type(kind))
    params: dict[str, str] = {}
    rest = value[len(base) :]
    while found := _PARAMETER.match(rest):
        key, text = found[1].lower(), found[2] or re.sub(_ESCAPED, r"\1", found[3])
        if params.setdefault(key, text) != text:
            raise ValueError(f"duplicate parameter name: {key}")
        rest = rest[found.end() :]
    if rest.strip(SPACE) not in ("", ";"):
        raise ValueError(f"invalid media parameter: {rest.lstrip(SPACE)[:40]!r}")
    return kind, _boundary(params)


def _bad_type(kind: str) -> str:
    first = re.match(rf"{_WORD}(/({_WORD})?)?", kind)
    if not first:
        return "no media type"
    if not first[1]:
        return f"expected slash after first token: {kind[:40]!r}"
    wrong = "unexpected content after media subtype" if first[2] else "expected token after slash"
    return f"{wrong}: {kind[:40]!r}"


def _boundary(params: dict[str, str]) -> str:
    """The boundary, which may be in pieces and have a charset: `boundary*=charset'language'text` (RFC 2231)."""
    plain = params.get("boundary", "")
    if (whole := params.get("boundary*")) is not None:
        return _unescaped(whole, charset=True) or plain
    pieces: list[str] = []
    while (name := f"boundary*{len(pieces)}") in params or f"{name}*" in params:
        pieces.append(params[name] if name in params else _unescaped(params[f"{name}*"], charset=not pieces))
    return "".join(pieces) if pieces else plain


def _unescaped(value: str, *, charset: bool) -> str:
    """The text with its percent escapes decoded; empty where Go cannot decode it."""
    if charset:
        name, *more = value.split("'", 2)
        value = more[1] if len(more) == 2 and name.lower() in ("us-ascii", "utf-8") else ""
    return "" if re.search(r"%(?![0-9A-Fa-f]{2})", value) else unquote(value, errors="surrogateescape")
