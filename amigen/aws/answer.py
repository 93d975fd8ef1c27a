"""Hold AWS's answers against botocore's own description of them.

botocore reads what a service says, and trusts it: the page of a proxy with status 200 becomes an answer without any
fields ("there are no Auto Scaling groups"), JSON values keep whatever type they came with, and a broken number ends in
Python's own error. All answers go through `ask`, which lets pass only what has the documented form.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from botocore import xform_name
from botocore.parsers import ResponseParserError

from amigen.base.errors import AwsError, plain

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("string", "character"), (str,)),
    **dict.fromkeys(("integer", "long"), (int,)),
    **dict.fromkeys(("float", "double"), (float, int)),
    "boolean": (bool,),
    "timestamp": (datetime,),
    "blob": (bytes,),
}
# What is always there although the service's description does not say so: of EC2's it says it of nothing.
_ALWAYS: dict[str, tuple[str, ...]] = {"Tag": ("Key", "Value"), "LaunchTemplateTagSpecification": ("ResourceType",)}


# What botocore's parsers end in where a service says something else than its description; the last of a wrong time.
_PARSERS_RAISE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


class AnswerError(AwsError):
    """An answer that is not of the documented form: the page of a proxy, a field that is missing or of another type."""

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(
            f"{plain(call)}: the answer is not what AWS documents: {plain(reason)}",
            "is there a proxy or a login page in between, or another server at --endpoint-url or AWS_ENDPOINT_URL?",
        )


class Fields(dict[str, Any]):
    """A structure of an answer: `[]` on a field that is not there says which one, `get` is for what may be missing."""

    __slots__ = ("_call", "_path")

    def __init__(self, items: Mapping[str, Any], *, call: str, path: str = "") -> None:
        super().__init__(items)
        self._call, self._path = call, path

    def __missing__(self, key: str) -> Any:
        raise self.error(key, "is missing")

    def first(self, key: str) -> Any:
        """The first item of the list under `key`, which is never empty."""
        items = self[key]
        if not items:
            raise self.error(key, "is empty")
        return items[0]

    def error(self, key: str, reason: str) -> AnswerError:
        """What to raise where a field says what it cannot say."""
        return AnswerError(self._call, f"{_at(self._path, key)} {reason}")


class _FormError(Exception):
    """What is wrong, for `ask` to say of which call."""


def ask(client: Any, operation: str, call: str, **params: Any) -> Fields:
    """One call of a botocore client.

    Args:
        client: The client.
        operation: As in botocore's service model.
        call: The call and its resource in words, for messages.
        params: Parameters as botocore names them.

    Raises:
        ClientError, BotoCoreError: As botocore says it.
        AnswerError: The answer is not of the documented form.
    """
    client.meta.events.register("after-call", _check_body, unique_id="amigen-answer")
    method = getattr(client, xform_name(operation))
    try:
        answer = method(**params)
        answer.pop("ResponseMetadata", None)
        shape = client.meta.service_model.operation_model(operation).output_shape
        found: Fields = Fields(answer, call=call) if shape is None else _checked(answer, shape, call, "")
        return found
    except _FormError as error:
        raise AnswerError(call, str(error)) from None
    except RecursionError:
        raise AnswerError(call, "it is nested too deeply") from None
    except (ResponseParserError, *_PARSERS_RAISE) as error:
        raise AnswerError(call, f"it cannot be read: {_first_line(error)}") from None


def _check_body(http_response: Any, model: Any, **_: Any) -> None:
    """Is the body an answer of this operation at all? botocore takes any XML for one, and any text for empty JSON."""
    if http_response.status_code >= 300:
        return
    protocol = getattr(model.service_model, "resolved_protocol", None) or model.metadata.get("protocol")
    body = http_response.content
    if protocol in ("ec2", "query"):
        # The same parser as botocore's; expat itself limits what entities may grow to.
        events: Any = ElementTree.iterparse(io.BytesIO(body), events=("start",))  # noqa: S314
        found, wanted = next(events)[1].tag.rpartition("}")[2], f"{model.name}Response"
        if found != wanted:
            raise _FormError(f"it begins with <{found}> in place of <{wanted}>")
    elif protocol in ("json", "rest-json") and (body or (model.output_shape and model.output_shape.members)):
        try:
            document = json.loads(body)
        except ValueError:
            raise _FormError("it is not JSON") from None
        if not isinstance(document, dict):
            raise _FormError("it is not a JSON object")


def _checked(value: Any, shape: Any, call: str, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        found = Fields({}, call=call, path=path)
        for name, each in value.items():
            member = shape.members.get(name)
            found[name] = each if member is None else _checked(each, member, call, _at(path, name))
        lacking = [name for name in _ALWAYS.get(shape.name, ()) if name not in found]
        if lacking:
            raise found.error(lacking[0], "is missing")
        return found
    if kind == "list" and isinstance(value, list):
        return [_checked(each, shape.member, call, f"{path}[{number}]") for number, each in enumerate(value)]
    if kind == "map" and isinstance(value, dict):
        return {key: _checked(each, shape.value, call, _at(path, str(key))) for key, each in value.items()}
    types = _TYPES.get(kind, ())
    if isinstance(value, types) and not (isinstance(value, bool) and bool not in types):
        return value
    raise _FormError(f"{path or 'it'} is {'null' if value is None else type(value).__name__}, not {kind}")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__
