"""A stand-in for EKS: an HTTP server on loopback that answers the add-on calls by botocore's own service model.

What it proves: that the calls have the form that the service model describes (paths, required members, types, enums)
and what amigen makes of answers and errors. What it does not prove: how EKS itself behaves beyond its model.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel
from botocore.validate import ParamValidator

# As published for v1.28.8-eksbuild.5, with nftables in the enum as from 1.31 on: draft-06, narrow.
SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-06/schema#",
    "$ref": "#/definitions/KubeProxy",
    "definitions": {
        "KubeProxy": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "ipvs": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"scheduler": {"type": "string"}},
                },
                "mode": {"type": "string", "enum": ["iptables", "ipvs", "nftables"]},
                "podAnnotations": {"type": "object"},
                "podLabels": {"type": "object"},
                "resources": {"type": "object"},
            },
        }
    },
}


@dataclass
class EksState:
    """One cluster `prod` with the add-on.

    Attributes:
        outcome: How the next update ends: Successful, Failed or Cancelled, after `polls` answers of InProgress.
        on_success: Called with the values and the way of conflicts when an update has ended well: what the add-on does
            in the cluster.
    """

    addon: bool = True
    version: str = "v1.33.3-eksbuild.4"
    values: str = '{"podLabels": {"team": "net"}}'
    status: str = "ACTIVE"
    outcome: str = "Successful"
    errors: list[dict[str, Any]] = field(default_factory=list)
    polls: int = 1
    busy: bool = False
    denied: set[str] = field(default_factory=set)
    schema: dict[str, Any] = field(default_factory=lambda: SCHEMA)
    updates: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    on_success: Any = None


class ModelError(Exception):
    """An error of the service, by its name in the model."""

    def __init__(self, shape: str, message: str, code: int) -> None:
        super().__init__(message)
        self.shape, self.code = shape, code


class EksServer:
    """Serves `EksState` at `url` inside a `with`."""

    def __init__(self) -> None:
        loader = botocore.session.get_session().get_component("data_loader")
        self.model = ServiceModel(loader.load_service_model("eks", "service-2"), "eks")
        self.state = EksState()

    def __enter__(self) -> EksServer:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status, headers, body = outer.answer(self.command, self.path, self.rfile.read(length))
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815 - http.server asks for these names

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        path, _, query = target.partition("?")
        for name in self.model.operation_names:
            operation = self.model.operation_model(name)
            uri = operation.http["requestUri"]
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(uri))
            match = re.fullmatch(pattern, path)
            if match and operation.http["method"] == method:
                try:
                    given = self._parameters(operation, match.groupdict(), query, body)
                    answer = getattr(self, f"_{name}")(given)
                    return 200, {"Content-Type": "application/json"}, self._shaped(operation, answer)
                except ModelError as error:
                    headers = {"x-amzn-ErrorType": error.shape, "Content-Type": "application/json"}
                    return error.code, headers, json.dumps({"message": str(error)}).encode()
        raise AssertionError(f"no such operation in the service model: {method} {target}")

    def _parameters(self, operation: OperationModel, uri: dict[str, str], query: str, body: bytes) -> dict[str, Any]:
        """URI, query and body as the members of the input shape, validated by botocore."""
        members = operation.input_shape.members
        sent = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
        document = json.loads(body) if body else {}
        given: dict[str, Any] = {}
        for name, shape in members.items():
            place, wire = shape.serialization.get("location"), shape.serialization.get("name", name)
            source = uri if place == "uri" else sent if place == "querystring" else document
            if wire in source:
                given[name] = urllib.parse.unquote(source[wire]) if place == "uri" else source[wire]
            enum = getattr(shape, "enum", None)
            if name in given and enum and given[name] not in enum:
                raise ModelError("InvalidParameterException", f"{name}: {given[name]} is none of {enum}", 400)
        report = ParamValidator().validate(given, operation.input_shape)
        if report.has_errors():
            raise ModelError("InvalidParameterException", report.generate_report(), 400)
        self.state.calls.append((operation.name, given))
        if operation.name in self.state.denied:
            raise ModelError("AccessDeniedException", f"not authorized to perform: eks:{operation.name}", 403)
        return given

    @staticmethod
    def _shaped(operation: OperationModel, answer: dict[str, Any]) -> bytes:
        """Refuse to answer what the output shape does not have."""

        def check(value: Any, shape: Any) -> None:
            if shape.type_name == "structure":
                assert set(value) <= set(shape.members), (set(value), shape.name)
                for key, inner in value.items():
                    check(inner, shape.members[key])
            elif shape.type_name == "list":
                for inner in value:
                    check(inner, shape.member)
            elif getattr(shape, "enum", None):
                assert value in shape.enum, (value, shape.name)

        check(answer, operation.output_shape)
        return json.dumps(answer).encode()

    def _found(self, cluster: str) -> None:
        if cluster != "prod":
            raise ModelError("ResourceNotFoundException", f"No cluster found for name: {cluster}.", 404)
        if not self.state.addon:
            raise ModelError("ResourceNotFoundException", f"No addon: kube-proxy found in cluster: {cluster}", 404)

    def _DescribeAddon(self, given: dict[str, Any]) -> dict[str, Any]:
        self._found(given["clusterName"])
        found = {
            "addonName": "kube-proxy",
            "clusterName": "prod",
            "status": self.state.status,
            "addonVersion": self.state.version,
            "health": {"issues": []},
        }
        return {"addon": found | ({"configurationValues": self.state.values} if self.state.values else {})}

    def _DescribeAddonConfiguration(self, given: dict[str, Any]) -> dict[str, Any]:
        assert given["addonVersion"] == self.state.version
        return {
            "addonName": "kube-proxy",
            "addonVersion": self.state.version,
            "configurationSchema": json.dumps(self.state.schema),
        }

    def _UpdateAddon(self, given: dict[str, Any]) -> dict[str, Any]:
        self._found(given["clusterName"])
        assert given["clientRequestToken"]
        if self.state.busy:
            raise ModelError(
                "ResourceInUseException", "Addon kube-proxy cannot be updated as it is currently updating", 409
            )
        update_id = f"update-{len(self.state.updates) + 1}"
        self.state.status = "UPDATING"
        self.state.updates[update_id] = {
            "id": update_id,
            "type": "AddonUpdate",
            "status": "InProgress",
            "left": self.state.polls,
            "values": given["configurationValues"],
            "resolve": given["resolveConflicts"],
            "params": [
                {"type": "ConfigurationValues", "value": given["configurationValues"]},
                {"type": "ResolveConflicts", "value": given["resolveConflicts"]},
            ],
        }
        return {"update": self._update(update_id)}

    def _update(self, update_id: str) -> dict[str, Any]:
        found = self.state.updates[update_id]
        return {key: found[key] for key in ("id", "type", "status", "params", "errors") if key in found}

    def _ListUpdates(self, given: dict[str, Any]) -> dict[str, Any]:
        """One at a time, so that pages are turned."""
        names = list(self.state.updates)
        at = int(given.get("nextToken") or 0)
        more = {"nextToken": str(at + 1)} if at + 1 < len(names) else {}
        return {"updateIds": names[at : at + 1]} | more

    def _DescribeUpdate(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.state.updates.get(given["updateId"])
        if found is None:
            raise ModelError("ResourceNotFoundException", "No update found", 404)
        if found["status"] == "InProgress":
            found["left"] -= 1
            if found["left"] < 0:
                found["status"] = self.state.outcome
                self.state.status = "ACTIVE" if self.state.outcome == "Successful" else "UPDATE_FAILED"
                self.state.values = found["values"]
                found["errors"] = self.state.errors
                if self.state.outcome == "Successful" and self.state.on_success:
                    self.state.on_success(json.loads(found["values"] or "{}"), found["resolve"])
        return {"update": self._update(given["updateId"])}
