"""Read a Content-Type as Go's `mime.ParseMediaType` does (Go 1.26, mime/mediatype.go)."""

from __future__ import annotations

import re

# What Go's unicode.IsSpace takes for white space.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+")
_SPECIAL = set('()<>@,;:\\"/[]?=')


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """`mime.ParseMediaType`: the type in lower case, and its parameters.

    Raises:
        ValueError: With Go's message.
    """
    base = value.split(";", 1)[0]
    kind = base.lower().strip(SPACE)
    if not re.fullmatch(rf"{TOKEN.pattern}(/{TOKEN.pattern})?", kind):
        raise ValueError(_bad_type(kind))
    params: dict[str, str] = {}
    rest = value[len(base) :]
    while rest := rest.lstrip(SPACE):
        found = _parameter(rest)
        if found is None:
            if rest.strip(SPACE) == ";":
                break
            raise ValueError(f"invalid media parameter: {rest[:40]!r}")
        key, text, rest = found
        if params.get(key, text) != text:
            raise ValueError(f"duplicate parameter name: {key}")
        params[key] = text
    return kind, _continued(params)


def _bad_type(kind: str) -> str:
    first = TOKEN.match(kind)
    if not first:
        return "no media type"
    if not kind[first.end() :].startswith("/"):
        return f"expected slash after first token: {kind[:40]!r}"
    if not TOKEN.match(kind, first.end() + 1):
        return f"expected token after slash: {kind[:40]!r}"
    return f"unexpected content after media subtype: {kind[:40]!r}"


def _parameter(text: str) -> tuple[str, str, str] | None:
    """Name, value and what follows of `; name=value`; None where Go sees no parameter."""
    if not text.startswith(";"):
        return None
    text = text[1:].lstrip(SPACE)
    name = TOKEN.match(text)
    if not name:
        return None
    text = text[name.end() :].lstrip(SPACE)
    if not text.startswith("="):
        return None
    text = text[1:].lstrip(SPACE)
    if text.startswith('"'):
        quoted = _quoted(text)
        return None if quoted is None else (name[0].lower(), *quoted)
    value = TOKEN.match(text)
    return (name[0].lower(), value[0], text[value.end() :]) if value else None


def _quoted(text: str) -> tuple[str, str] | None:
    out: list[str] = []
    place = 1
    while place < len(text):
        char = text[place]
        if char == '"':
            return "".join(out), text[place + 1 :]
        if char in "\r\n":
            return None
        if char == "\\" and text[place + 1 : place + 2] in _SPECIAL:
            place += 1
            char = text[place]
        out.append(char)
        place += 1
    return None


def _continued(params: dict[str, str]) -> dict[str, str]:
    """RFC 2231: `name*=charset'language'text` and `name*0`, `name*1`, ... as `name`."""
    if not any("*" in key for key in params):
        return params
    out = {key: value for key, value in params.items() if "*" not in key}
    for base in sorted({key.split("*", 1)[0] for key in params if "*" in key}):
        if f"{base}*" in params:
            text = _decoded(params[f"{base}*"])
            if text is not None:
                out[base] = text
            continue
        pieces: list[str] = []
        while True:
            name = f"{base}*{len(pieces)}"
            if name in params:
                pieces.append(params[name])
            elif f"{name}*" in params:
                value = params[f"{name}*"]
                pieces.append((_decoded(value) if not pieces else _unescaped(value)) or "")
            else:
                break
        if pieces:
            out[base] = "".join(pieces)
    return out


def _decoded(value: str) -> str | None:
    charset, *rest = value.split("'", 2)
    return _unescaped(rest[1]) if len(rest) == 2 and charset.lower() in ("us-ascii", "utf-8") else None


def _unescaped(value: str) -> str | None:
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        return None
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), value)
