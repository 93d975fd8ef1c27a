"""A proxy in front of moto: records calls, injects faults, spoils answers, adds what moto leaves out."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from amigen.base.waiting import wait_until
from tests.publish.stand_in.model_server import ModelServer, client_at
from tests.publish.stand_in.moto_gaps import Gaps, without_snapshot_tags
from tests.publish.stand_in.wire import (
    Refusal,
    Request,
    Response,
    read_request,
    read_response,
    service_model,
    write_response,
)

FaultKind = Literal["throttled", "internal", "timeout", "denied", "expired", "cut-after", "kill-before", "kill-after"]
# The last is processed; all others are refused before.
FAULTS: tuple[FaultKind, ...] = ("throttled", "internal", "timeout", "denied", "expired", "cut-after")

# Codes per kind: EC2's words, and those of the services that speak JSON.
_CODES: dict[str, tuple[str, str]] = {
    "throttled": ("RequestLimitExceeded", "ThrottlingException"),
    "internal": ("InternalError", "InternalServerError"),
    "denied": ("UnauthorizedOperation", "AccessDeniedException"),
    "expired": ("RequestExpired", "ExpiredTokenException"),
}
_DIFFERS = ("ClientToken", "VersionDescription", "NextToken", "CommandId")
_STATUS = {"throttled": 503, "internal": 500, "denied": 403, "expired": 400}


@dataclass(frozen=True, kw_only=True, order=True)
class Position:
    """A call of a run: the n-th with this content in its region (regions run side by side).

    Ids, tokens and scripts differ from run to run; `content` is the parameters without them.
    """

    region: str
    service: str
    operation: str
    content: str
    number: int


def content_of(request: Request) -> str:
    """The parameters, in short, with each id as its kind."""
    params = {k: v for k, v in request.params.items() if k not in _DIFFERS}
    # The script of a SendCommand is told its sections' token.
    params.pop("Parameters" if request.operation == "SendCommand" else "", None)
    text = re.sub(r"\b(ami|snap|lt|i)-[0-9a-f]{8,}\b", r"\1", json.dumps(params, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at a position.

    Attributes:
        repeat: True: also to every later call of this operation in this region (as long as the fault is there).
    """

    at: Position
    kind: FaultKind
    repeat: bool = False


@dataclass(kw_only=True)
class Gateway:
    """Start with `with gateway:`; all its state is cleared by `reset`."""

    moto: str
    calls: list[Request] = field(default_factory=list)
    fault: Fault | None = None
    fault_hits: int = 0
    victim: int | None = None
    before: Callable[[Request], None] | None = None
    spoil: Callable[[Request, Response], Response] | None = None
    authority: Callable[[Request], None] | None = None
    broken: list[str] = field(default_factory=list)
    customer_key: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self._stop = threading.Event()
        self.gaps = Gaps()
        self.model = ModelServer(self.moto, self.gaps)
        gateway = self

        class Edge(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes: without this the second waits 40 ms for the first to be acknowledged.
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:
                    # Killed while it was sending: AWS would not take half a request for one either.
                    self.close_connection = True
                    return
                headers = Headers(list(self.headers.items()))
                try:
                    response = gateway.answer(self.command, self.path, headers, body)
                except ConnectionAbortedError:
                    self.close_connection = True
                    self.connection.close()
                    return
                except Exception:
                    # A fault of this server, not one that a test asked for: seen by `broken`.
                    gateway.broken.append(traceback.format_exc())
                    raise
                self.send_response(response.status)
                for name, value in response.headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that are killed leave broken pipes

        self._server = Server(("127.0.0.1", 0), Edge)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Gateway:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        with self._lock:
            self.calls.clear()
            self._counts.clear()
            self.fault, self.fault_hits, self.victim, self.before = None, 0, None, None
            self.authority, self.spoil, self.customer_key = None, None, ""
            self.gaps = Gaps()
            self.model = ModelServer(self.moto, self.gaps)

    def reset_fault(self) -> None:
        """No fault, and nobody asks for permissions."""
        self.fault, self.authority = None, None

    def tags(self, region: str, resource: str) -> dict[str, str]:
        """The tags of an EC2 resource as they are now."""
        return {tag["Key"]: tag["Value"] for tag in self.tags_of(region, resource)}

    def template_data(self, region: str, template: str, version: str) -> dict[str, Any]:
        """The data of a template version as it is now."""
        client = client_at("ec2", region, self.moto)
        key = "LaunchTemplateId" if template.startswith("lt-") else "LaunchTemplateName"
        found = client.describe_launch_template_versions(**{key: template}, Versions=[version])
        data: dict[str, Any] = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return data

    def start_counting(self) -> None:
        """Positions and the record begin anew."""
        with self._lock:
            self.calls.clear()
            self._counts.clear()

    # -- one call ------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Response:
        request = read_request(method, path, headers, body)
        kind = self._record(request)
        if self.before:
            self.before(request)
        if kind == "kill-before":
            self._kill()
        if kind == "timeout":
            self._stop.wait(3)
            raise ConnectionAbortedError
        if kind in _CODES:
            return self._refuse(request, kind)
        if self.authority:
            try:
                self.authority(request)
            except Refusal as refusal:
                return write_response(request, refusal)
        response = self._processed(request, method, path, headers, body)
        if kind == "kill-after":
            self._kill()
        if kind == "cut-after":
            raise ConnectionAbortedError
        return self.spoil(request, response) if self.spoil else response

    def _record(self, request: Request) -> FaultKind | None:
        with self._lock:
            self.calls.append(request)
            key = _key(request)
            self._counts[key] += 1
            fault = self.fault
            if fault is None or (fault.at.region, fault.at.service, fault.at.operation, fault.at.content) != key:
                return None
            number = self._counts[key]
            if number == fault.at.number or (fault.repeat and number > fault.at.number):
                self.fault_hits += 1
                return fault.kind
            return None

    def _kill(self) -> None:
        # The test may say a moment later whom it has started.
        assert wait_until(lambda: self.victim is not None, seconds=60, every=0.01), "nobody to kill"
        assert self.victim is not None
        os.kill(self.victim, signal.SIGKILL)
        raise ConnectionAbortedError

    def _refuse(self, request: Request, kind: str) -> Response:
        code = _CODES[kind][0 if service_model(request.service).protocol == "ec2" else 1]
        response = write_response(request, Refusal(code, f"{kind}, said by the test"))
        return Response(status=_STATUS[kind], headers=response.headers, body=response.body)

    def _processed(self, request: Request, method: str, path: str, headers: Headers, body: bytes) -> Response:
        try:
            with self._lock:
                again = self.gaps.repeated(request)
                if again is not None:
                    return again
                response = self._answered(request, method, path, headers, body)
                self.gaps.remember(request, response)
                return response
        except Refusal as refusal:
            return write_response(request, refusal)

    def _answered(self, request: Request, method: str, path: str, headers: Headers, body: bytes) -> Response:
        if request.operation == "RunInstances":
            self._refuse_subnet(request)
        own = self.model.find(request)
        if own is not None:
            return write_response(request, own(request))
        if request.operation == "CreateImage":
            body = without_snapshot_tags(body)
        if request.operation == "RunInstances" and request.region.startswith(("cn-", "us-gov-")):
            # moto has no instance types of these partitions, and looks for them where a zone is named.
            body = re.sub(rb"&Placement\.AvailabilityZone=[a-z0-9-]+", b"", body)
        response = self._forward(method, path, headers, body)
        if request.operation == "DescribeInstances" and response.status == 200:
            response = self._with_spot_requests(request, response)
        return self.gaps.completed(request, response, self._tag, self.tags_of)

    def _with_spot_requests(self, request: Request, response: Response) -> Response:
        """The spot request of each spot instance, which moto keeps and does not show here."""
        if b"<instanceLifecycle>spot" not in response.body:
            return response
        found = read_response(request, response)
        requests = client_at("ec2", request.region, self.moto).describe_spot_instance_requests()
        of = {each["InstanceId"]: each["SpotInstanceRequestId"] for each in requests["SpotInstanceRequests"]}
        for instance in (i for reservation in found["Reservations"] for i in reservation["Instances"]):
            instance["SpotInstanceRequestId"] = of.get(instance["InstanceId"], "sir-0")
        return write_response(request, found)

    def _refuse_subnet(self, request: Request) -> None:
        """EC2 takes a subnet beside network interfaces no better where a template brings them; moto looks only here.

        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html (SubnetId)
        """
        template = request.params.get("LaunchTemplate")
        if not template or "SubnetId" not in request.params:
            return
        data = self.template_data(request.region, template["LaunchTemplateId"], str(template["Version"]))
        if data.get("NetworkInterfaces"):
            raise Refusal(
                "InvalidParameterCombination",
                "Network interfaces and an instance-level subnet ID may not be specified on the same request",
            )

    def _tag(self, region: str, resources: list[str], tags: dict[str, str]) -> None:
        """CreateTags at moto, for a copy whose tags moto does not take: (image, `image` or `snapshot`)."""
        client = client_at("ec2", region, self.moto)
        image, kind = resources
        if kind == "snapshot":
            disks = client.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
            resources = [disk["Ebs"]["SnapshotId"] for disk in disks]
        else:
            resources = [image]
        client.create_tags(Resources=resources, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])

    def tags_of(self, region: str, resource: str) -> list[dict[str, str]]:
        """The tags of an EC2 resource as they are now."""
        client = client_at("ec2", region, self.moto)
        kind, _, name = resource.partition("/")
        if kind == "launch-template":
            named = client.describe_launch_templates(Filters=[{"Name": "launch-template-name", "Values": [name]}])
            return [tag for template in named["LaunchTemplates"] for tag in template.get("Tags", [])]
        if kind in ("role", "instance-profile"):
            return _iam_tags(client_at("iam", region, self.moto), kind, name)
        if kind == "key-pair":
            pairs = client.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])
            return [tag for pair in pairs["KeyPairs"] for tag in pair.get("Tags", [])]
        found = client.describe_tags(Filters=[{"Name": "resource-id", "Values": [resource]}])["Tags"]
        return [{"Key": tag["Key"], "Value": tag["Value"]} for tag in found]

    def _forward(self, method: str, path: str, headers: Headers, body: bytes) -> Response:
        target = urlsplit(self.moto)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            passed = {k: v for k, v in headers.items() if k.lower() not in ("content-length", "expect", "connection")}
            connection.request(method, path, body=body, headers=passed)
            answer = connection.getresponse()
            return Response(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
        finally:
            connection.close()

    # -- what tests ask ------------------------------------------------------------------------------------------

    def positions(self) -> list[Position]:
        """All calls since `start_counting`, as positions, in order."""
        counts: Counter[tuple[str, str, str, str]] = Counter()
        out = []
        with self._lock:
            for call in self.calls:
                key = _key(call)
                counts[key] += 1
                out.append(
                    Position(region=key[0], service=key[1], operation=key[2], content=key[3], number=counts[key])
                )
        return out

    def named(self, operation: str) -> list[Request]:
        """The recorded calls of an operation."""
        with self._lock:
            return [call for call in self.calls if call.operation == operation]


def _iam_tags(iam: Any, kind: str, name: str) -> list[dict[str, str]]:
    with contextlib.suppress(iam.exceptions.NoSuchEntityException):
        found = (
            iam.get_role(RoleName=name)["Role"]
            if kind == "role"
            else iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        )
        return list(found.get("Tags", []))
    return []


def _key(request: Request) -> tuple[str, str, str, str]:
    return (request.region, request.service, request.operation, content_of(request))
