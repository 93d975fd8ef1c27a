"""Read requests and write responses by botocore's service model, with moto's own parsers and serializers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import botocore.parsers
import botocore.session
from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict


class Refusal(ServiceException):
    """An error answer: code and message."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call as it came over the wire."""

    service: str
    operation: str
    region: str
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer as it goes over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@cache
def service_model(service: str) -> Any:
    return get_service_model(service)


@cache
def botocore_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def read_request(method: str, path: str, headers: Headers, body: bytes) -> Request:
    """The call of a request; service and region are those that its signature names."""
    signature = headers.get("Authorization", "")
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", signature)
    region, service = (found[1], found[2]) if found else ("us-east-1", "unsigned")
    model = service_model(service)
    url = urlsplit(path)
    values = MultiDict(parse_qsl(url.query, keep_blank_values=True))
    uri: dict[str, str] = {}
    if model.protocol in ("ec2", "query"):
        values.update(parse_qsl(body.decode(), keep_blank_values=True))
        operation = values["Action"]
    elif model.protocol == "json":
        operation = headers["X-Amz-Target"].rsplit(".", 1)[1]
    else:
        operation, uri = _rest_operation(model, method, url.path)
    parser = PROTOCOL_PARSERS[model.protocol](model.operation_model(operation))
    params = parser.parse(
        {
            "method": method,
            "values": values,
            "headers": headers,
            "body": body,
            "url_path": url.path,
            "url_params": uri,
        }
    )
    return Request(service=service, operation=operation, region=region, params=dict(params or {}))


def _rest_operation(model: Any, method: str, path: str) -> tuple[str, dict[str, str]]:
    for name in model.operation_names:
        http = model.operation_model(name).http
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"].split("?")[0]))
        match = re.fullmatch(pattern, path)
        if http["method"] == method and match:
            return name, {key: unquote(value) for key, value in match.groupdict().items()}
    raise LookupError(f"{method} {path}")


def page_start(request: Request) -> int:
    """Where the page that is asked for begins; a token that this server did not give begins anew."""
    token = str(request.params.get("NextToken", "0"))
    return int(token) if token.isdigit() else 0


def write_response(request: Request, result: dict[str, Any] | Exception) -> Response:
    """An answer or a refusal, by the service model."""
    model = service_model(request.service)
    serializer = get_serializer_class(request.service, model.protocol)(model.operation_model(request.operation))
    out = serializer.serialize(result)
    body = out["body"]
    if not isinstance(body, (str, bytes)):
        body = "".join(body)
    return Response(
        status=out["status_code"],
        headers={key: str(value) for key, value in out["headers"].items()},
        body=body.encode() if isinstance(body, str) else body,
    )


def read_response(request: Request, response: Response) -> dict[str, Any]:
    """moto's answer as botocore's own parser reads it, so that something can be added to it."""
    model = service_model(request.service)
    parser = botocore.parsers.create_parser(model.protocol)
    shape = botocore_model(request.service).operation_model(request.operation).output_shape
    parsed = parser.parse({"status_code": response.status, "headers": response.headers, "body": response.body}, shape)
    parsed.pop("ResponseMetadata", None)
    return dict(parsed)
