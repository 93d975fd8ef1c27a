"""Answers as no AWS gives them, made of the right ones: whatever stands between, or at the other end, may send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from tests.publish.stand_in.wire import Response

PAGE = b"<!DOCTYPE html><html><body><p>Log in to <b>the proxy<br></body></html>"
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Log in</p></body></html>'
# XML has no way to write an escape character; what begins with 9b is the same to a terminal, and the last turns text.
WORDS = "\x9b31mred\x9d0;title\n$(touch /tmp/amigen-was-here)`reboot`\u202e"
_BOMB = b'<!DOCTYPE a [<!ENTITY a "lol">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12)
)


def is_xml(response: Response) -> bool:
    return response.body.lstrip().startswith(b"<")


def _body(make: Callable[[bool], bytes]) -> Callable[[Response], Response]:
    return lambda response: replace(response, body=make(is_xml(response)))


def _leaves(change: Callable[[Any], Any]) -> Callable[[Response], Response]:
    """Every value changed, the form as it is; numbers and booleans in XML are words, too."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(each) for key, each in value.items()}
        return [walk(each) for each in value] if isinstance(value, list) else change(value)

    def spoil(response: Response) -> Response:
        if not is_xml(response):
            return replace(response, body=json.dumps(walk(json.loads(response.body or b"{}"))).encode())
        root = ElementTree.fromstring(response.body)
        for each in root.iter():
            if len(each) == 0 and each is not root and each.text:
                each.text = str(change(each.text))
        return replace(response, body=ElementTree.tostring(root))

    return spoil


def _lacking(response: Response) -> Response:
    """Lists with their number of items, and nothing in any of them; what is no list is empty."""

    def walk(value: Any, top: bool) -> Any:
        if isinstance(value, dict):
            return {key: walk(each, False) for key, each in value.items()} if top else {}
        return [walk(each, False) for each in value] if isinstance(value, list) else value

    if not is_xml(response):
        return replace(response, body=json.dumps(walk(json.loads(response.body or b"{}"), True)).encode())
    root = ElementTree.fromstring(response.body)
    for each in root.iter():
        if each.tag.rpartition("}")[2] in ("item", "member"):
            for child in list(each):
                each.remove(child)
    return replace(response, body=ElementTree.tostring(root))


def _endless(response: Response) -> Response:
    """One more page, and it is always the same."""
    if is_xml(response):
        root = ElementTree.fromstring(response.body)
        space = root.tag.rpartition("}")[0] + root.tag.rpartition("}")[1]
        result = next((child for child in root if child.tag.endswith("Result")), root)
        for name in ("nextToken", "NextToken"):
            ElementTree.SubElement(result, space + name).text = "again"
        return replace(response, body=ElementTree.tostring(root))
    document = {**json.loads(response.body or b"{}"), "NextToken": "again", "nextToken": "again"}
    return replace(response, body=json.dumps(document).encode())


# No answer at all: the command has to say so, of this very call.
NONSENSE: dict[str, Callable[[Response], Response]] = {
    "page": lambda response: replace(response, body=PAGE, headers={"Content-Type": "text/html"}),
    "xhtml": lambda response: replace(response, body=XHTML, headers={"Content-Type": "text/html"}),
    "truncated": lambda response: replace(response, body=response.body[: len(response.body) // 2] or b"<"),
    "binary": _body(lambda xml: b"\x00\xff\xfe" * 100),
    "other answer": _body(lambda xml: b"<OtherResponse><x/></OtherResponse>" if xml else b"[1, 2]"),
    "nested": _body(lambda xml: (b"<a>" if xml else b'{"a":') * 200_000),
    "bomb": _body(lambda xml: _BOMB + b"]><a>&m;</a>" if xml else b"9" * 1_000_000),
}
# Answers of the right form that say what cannot be: an error of its own kind, or shown so that it does no harm.
LIES: dict[str, Callable[[Response], Response]] = {
    "lacking": _lacking,
    "empty words": _leaves(lambda value: value if not isinstance(value, str) else ""),
    "words": _leaves(lambda value: WORDS if isinstance(value, str) else value),
    "huge": _leaves(lambda value: "9" * 100_000 if isinstance(value, str) else 10**4000),
    "endless": _endless,
}
