"""Tell AWS's answers from those of a proxy, a login page or a cut connection.

botocore trusts what it reads: a web page with status 200 becomes an answer without any fields ("there are no Auto
Scaling groups"). `ask` looks at the kind of the answer, and a field that is read and not there is an error that names
the call, so that an empty, foreign or cut answer never permits a deletion.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from botocore import xform_name
from botocore.parsers import ResponseParserError

from amigen.base.errors import AwsError, plain

# What botocore's parsers end in where a service says something else than its description; the last of a wrong time.
_PARSERS_RAISE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


class AnswerError(AwsError):
    """An answer that AWS did not give: the page of a proxy, one that was cut or lacks a field that is always there."""

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
        found: Fields = _fields(answer, call, "")
        return found
    except _FormError as error:
        raise AnswerError(call, str(error)) from None
    except RecursionError:
        raise AnswerError(call, "it is nested too deeply") from None
    except (ResponseParserError, *_PARSERS_RAISE) as error:
        said = (str(error).splitlines() or [""])[0][:300] or type(error).__name__
        raise AnswerError(call, f"it cannot be read: {said}") from None


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


def _fields(value: Any, call: str, path: str) -> Any:
    """The value with its structures as `Fields`."""
    if isinstance(value, dict):
        return Fields({key: _fields(each, call, _at(path, key)) for key, each in value.items()}, call=call, path=path)
    if isinstance(value, list):
        return [_fields(each, call, f"{path}[{number}]") for number, each in enumerate(value)]
    return value


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
