"""Quoting, one function per target language. Every interpolation of a template goes through one of them.

Structured formats (YAML, JSON, MIME) are not here: they are dumped from data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SH_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_PY_WIDTH = 120
_HCL_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def sh(value: object) -> str:
    """A word of a POSIX shell.

    Raises:
        ValueError: The text has a NUL, which no argument and no shell variable can hold.
    """
    text = str(value)
    if _SH_SAFE.fullmatch(text):
        return text
    if "\0" in text:
        raise ValueError("a NUL cannot be quoted for a shell")
    return "'" + text.replace("'", "'\\''") + "'"


def ascii_only(script: str) -> str:
    """A bash script in ASCII. Other characters, which `sh` put between single quotes, become `$'...'`."""
    if script.isascii():
        return script
    return re.sub(
        r"[^\x00-\x7f]+", lambda match: "'$'" + "".join(f"\\{byte:03o}" for byte in match[0].encode()) + "''", script
    )


def words(values: Iterable[object]) -> str:
    """Arguments of a shell command, each with a space before it."""
    return "".join([f" {sh(value)}" for value in values])


def hcl(value: object) -> str:
    """A literal of HCL2: string, number, bool, null, list or map; template sequences `${` and `%{` are escaped.

    Source: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md (template literals, quoted strings).
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{hcl(str(k))} = {hcl(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(hcl(v) for v in value) + "]"
    return '"' + hcl_inner(str(value)) + '"'


def hcl_inner(text: str) -> str:
    """The inside of a quoted HCL string, for literals that hold both text and `${...}` of our own."""
    if not text.isprintable() or '"' in text or "\\" in text:
        text = "".join(map(_hcl_character, text))
    return text.replace("${", "$${").replace("%{", "%%{")


def _hcl_character(char: str) -> str:
    if char in _HCL_ESCAPES:
        return _HCL_ESCAPES[char]
    if ord(char) < 0x20 or ord(char) == 0x7F or 0xD800 <= ord(char) <= 0xDFFF:
        return f"\\u{ord(char):04x}"
    return char


def py(value: object) -> str:
    """A Python literal of strings, numbers, None, tuples and dicts, for the rendered checks; with `"` if it can be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{py(k)}: {py(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(py(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    text = repr(value)
    # repr takes `'` unless the text has one; a text with neither quote reads the same in `"`.
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and not {"'", '"'} & set(value) else text


def py_block(value: dict[object, object] | tuple[object, ...]) -> str:
    """A Python literal of a dict or tuple with one entry per line, as a formatter would break it."""
    if isinstance(value, dict):
        lines, ends = [_entry(f"{py(k)}: ", v) for k, v in value.items()], "{}"
    else:
        if len(value) == 1 and len(py(value)) < _PY_WIDTH / 2:
            return py(value)
        lines, ends = [_entry("", v) for v in value], "()"
    return ends[0] + "\n" + "".join(lines) + ends[1]


def _entry(label: str, value: object) -> str:
    line = f"    {label}{py(value)},\n"
    if len(line) <= _PY_WIDTH + 1 or not isinstance(value, (tuple, list)):
        return line
    return f"    {label}(\n" + "".join(f"        {py(v)},\n" for v in value) + "    ),\n"


def comment(value: object) -> str:
    """Text that cannot leave a one-line comment of shell, HCL or Python."""
    text = str(value)
    return text if text.isprintable() else re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text)
