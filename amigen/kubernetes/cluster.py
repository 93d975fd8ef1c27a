"""The Kubernetes API as JSON: only what amigen calls, with failures that name verb and resource.

Answers stay plain JSON: typed models of one Kubernetes version would drop fields of another, and an object that is
written back must be whole. Of an answer status, content type and kind are checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from urllib3 import BaseHTTPResponse

from amigen.base.errors import AmigenError, ConflictError, KubernetesError, plain
from amigen.base.moments import rfc3339
from amigen.kubernetes.kinds import NAMESPACE, NODES, REVIEWS, Asked, Kind
from amigen.kubernetes.kubeconfig import Access, read_access
from amigen.kubernetes.transport import Transport, UnreachableError

_METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
_PAGE = 500
_PAGES = 10_000  # five million objects
_LONGEST = 2000  # of what a server says, in a message
# What webhooks and admission policies say with the status that RBAC has too.
_ADMISSION = re.compile(r"admission webhook|admission ?policy|denied (the )?request", re.IGNORECASE)
_PROXY = "is there a proxy or a login page in between, or is it no Kubernetes API?"


class NotFoundError(KubernetesError):
    """The object, or the whole API, is not there."""


class ForbiddenError(KubernetesError):
    """No right to do this; the message names verb and resource."""


class Cluster:
    """One cluster, through one context.

    Attributes:
        name: Of the cluster in the kubeconfig; `server` its URL; `context` the context's name.
    """

    def __init__(self, access: Access) -> None:
        self.name = access.name
        self.context = access.context
        self.server = access.server
        self._transport = Transport(access)
        self._date = ""

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        """One object."""
        return self._json("get", Asked(kind, name))

    def list(self, kind: Kind, namespace: str = NAMESPACE, labels: str = "") -> Iterator[dict[str, Any]]:
        """All objects, page by page; `namespace=""` for all namespaces."""
        asked = Asked(kind, "", namespace)
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        seen: set[str] = set()
        while True:
            answer = self._json("list", asked, query)
            yield from answer["items"] or []
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            if token in seen or len(seen) >= _PAGES:
                raise self._misfit("list", asked, "it returns too many pages")
            seen.add(token)
            query["continue"] = token

    def replace(self, kind: Kind, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write an object back whole; its resourceVersion makes the server refuse it if it was changed since.

        Raises:
            ConflictError: The object has changed since it was read.
        """
        assert (body.get("metadata") or {}).get("resourceVersion"), "a replace without resourceVersion loses changes"
        return self._json("update", Asked(kind, name), {"fieldManager": "amigen"}, body)

    def patch(self, kind: Kind, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A strategic merge patch: only the fields in `body` change."""
        return self._json("patch", Asked(kind, name), {"fieldManager": "amigen"}, body)

    def delete(self, kind: Kind, name: str, *, uid: str) -> None:
        """Delete this very object; one of the same name that came after it stays."""
        self._json("delete", Asked(kind, name), body={"preconditions": {"uid": uid}})

    def version(self) -> str:
        """The server's `gitVersion`, such as `v1.33.4-eks-1a2b3c4`."""
        answer = self._send("GET", "/version")
        if answer.status == 401:
            raise self._failure(answer.status, "get", Asked(NODES), "")
        if answer.status != 200:
            raise KubernetesError(
                f"{self.server} answers HTTP {answer.status} to GET /version", "is it a Kubernetes API?"
            )
        found = _json_of(answer)
        version = found.get("gitVersion") if isinstance(found, dict) else None
        if not isinstance(version, str):
            raise KubernetesError(f"{self.server} answers GET /version with no version", _PROXY)
        return version

    def may(self, verb: str, kind: Kind, name: str = "") -> bool:
        """Ask the server whether this is allowed (SelfSubjectAccessReview, which everybody may create)."""
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural}
        attributes |= {"namespace": NAMESPACE} if kind.namespaced else {}
        attributes |= {"name": name} if name else {}
        body: dict[str, Any] = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        body["spec"] = {"resourceAttributes": attributes}
        status = self._json("create", Asked(REVIEWS), body=body).get("status")
        return isinstance(status, dict) and status.get("allowed") is True

    def now(self) -> str:
        """The server's time at its last answer, RFC 3339 to the second: this machine's clock may go otherwise."""
        if not self._date:
            self.version()
        try:
            return rfc3339(parsedate_to_datetime(self._date))
        except (ValueError, TypeError, LookupError, OverflowError):
            raise KubernetesError(f"{self.server} answers with an invalid Date: {self._date!r}", _PROXY) from None

    def text(self, path: str) -> str | None:
        """The text at a path (a log, a proxied answer of a pod); None where it cannot be had for whatever reason."""
        try:
            answer = self._send("GET", path)
        except UnreachableError:
            return None
        return _text_of(answer) if answer.status == 200 else None

    def _json(
        self, verb: str, asked: Asked, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        path = asked.kind.path(asked.name, asked.namespace) + (f"?{urlencode(query)}" if query else "")
        kind_of_body = "application/strategic-merge-patch+json" if verb == "patch" else "application/json"
        answer = self._send(_METHODS[verb], path, body, kind_of_body)
        found = _json_of(answer)
        if not 200 <= answer.status < 300:
            said = str(found.get("message") or "") if isinstance(found, dict) else _text_of(answer)
            raise self._failure(answer.status, verb, asked, plain(said)[:_LONGEST])
        if not isinstance(found, dict):
            raise self._misfit(
                verb, asked, f"it is no JSON object (content type {answer.headers.get('Content-Type') or 'unset'})"
            )
        # What was deleted is answered as itself or as a Status.
        name = asked.kind.name
        wanted = {"list": [f"{name}List"], "delete": [name, "Status"]}.get(verb, [name])
        if found.get("kind") not in wanted:
            raise self._misfit(verb, asked, f"its kind is {found.get('kind')!r}, expected {wanted[0]}")
        if verb == "list" and not isinstance(found.get("items", ""), list | None):
            raise self._misfit(verb, asked, "it has no items")
        return found

    def _misfit(self, verb: str, asked: Asked, problem: str) -> KubernetesError:
        problem = plain(problem)[:_LONGEST]
        return KubernetesError(f"{verb} {asked}: the answer is not what Kubernetes documents: {problem}", _PROXY)

    def _failure(self, status: int, verb: str, asked: Asked, said: str) -> AmigenError:
        if status == 401:
            return KubernetesError(
                f"{self.server} does not accept the credentials of context {self.context}",
                "they may have expired: log in again, and try `kubectl auth whoami`",
            )
        if status == 403 and _ADMISSION.search(said):
            return KubernetesError(
                f"{verb} {asked}: the cluster's admission control denies it: {said}",
                "a role cannot allow it; ask the owner of the policy or webhook",
            )
        if status == 403:
            return ForbiddenError(
                f"not allowed: verb {verb!r} on resource {asked}: {said}",
                f"ask for a role with this verb; check with `kubectl auth can-i {verb} {asked.what}{asked.option}`",
            )
        if status == 404:
            return NotFoundError(f"{asked} is not there: {said}")
        if status == 409:
            return ConflictError(f"{asked} was changed concurrently: {said}")
        return KubernetesError(f"{verb} {asked} failed with HTTP {status}: {said}")

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> BaseHTTPResponse:
        answer = self._transport.send(method, path, body, content_type)
        self._date = answer.headers.get("Date") or self._date
        return answer


def _text_of(answer: BaseHTTPResponse) -> str:
    return bytes(answer.data).decode("utf-8", "replace")


def _json_of(answer: BaseHTTPResponse) -> Any:
    """The JSON of the body; None for other content."""
    is_json = (answer.headers.get("Content-Type") or "").partition(";")[0].strip() == "application/json"
    try:
        return json.loads(_text_of(answer)) if is_json else None
    except (ValueError, RecursionError):
        return None


def connect(kubeconfig: str | None = None, context: str | None = None) -> Cluster:
    """The cluster of a kubeconfig's context; see `read_access`."""
    return Cluster(read_access(kubeconfig, context))
