"""Read a kubeconfig as kubectl does: files merged, one context, and what its cluster and user say.

Sources: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
tools/clientcmd of k8s.io/client-go (loader.go, client_config.go).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from amigen.base import goyaml
from amigen.base.errors import InputError
from amigen.base.files import read_file, read_text

Fields: TypeAlias = Mapping[str, Any]

# Name of cluster and context where the pod's own service account is used.
IN_CLUSTER = "in-cluster"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Of these fields, those that name files: a relative path is relative to the kubeconfig that has it.
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}


@dataclass(frozen=True, kw_only=True)
class Access:
    """One context of a kubeconfig.

    Attributes:
        source: The files that were read, for messages.
        name: Of the cluster; `context` of the context.
        cluster, user: Their fields, as the kubeconfig has them; paths are absolute.
    """

    source: str
    name: str
    context: str
    cluster: Fields
    user: Fields = field(repr=False)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self.cluster["server"])

    def content(self, of: Fields, key: str) -> bytes | None:
        """What a field or its `-data` twin holds: certificate or key; None where neither is set.

        Raises:
            InputError: Not base64, or a file that cannot be read.
        """
        if data := of.get(f"{key}-data"):
            try:
                return base64.b64decode(str(data), validate=True)
            except binascii.Error:
                raise InputError(f"{self.source}: {key}-data is not base64") from None
        if not of.get(key):
            return None
        return read_file(str(of[key]), hint=f"{key} in {self.source}")


def read_access(kubeconfig: str | None = None, context: str | None = None) -> Access:
    """The context of a kubeconfig, chosen as kubectl does.

    In this order: the argument, `$KUBECONFIG` (several files are merged), `~/.kube/config`, the pod's own account.

    Raises:
        InputError: No kubeconfig, one that cannot be read, or no such context.
    """
    files = [kubeconfig] if kubeconfig else os.environ.get("KUBECONFIG", "").split(os.pathsep)
    paths = [Path(file).expanduser() for file in files if file] or [Path("~/.kube/config").expanduser()]
    present = [path for path in paths if path.exists()]
    if not present:
        if not kubeconfig and not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
            return _in_cluster()
        raise InputError(
            f"no kubeconfig: {', '.join(map(str, paths))} is not there",
            "name one with --kubeconfig or $KUBECONFIG; for EKS, `aws eks update-kubeconfig --name CLUSTER` writes it",
        )
    source = os.pathsep.join(map(str, present))
    found: dict[str, dict[str, Fields]] = {kind: {} for kind in _LISTS}
    current = ""
    for path in present:
        document = _document(path)
        current = current or str(document.get("current-context") or "")
        for kind, key in _LISTS.items():
            for name, value in _entries(document, kind, key, path):
                found[kind].setdefault(name, value)  # of the same name in several files the first counts
    chosen = context or current
    if chosen not in found["contexts"]:
        names = ", ".join(sorted(found["contexts"]))
        hint = f"there are: {names}" if names else "`aws eks update-kubeconfig --name CLUSTER` adds one"
        raise InputError(f"{source}: no context {chosen!r}" if chosen else f"{source}: no current-context", hint)
    of = found["contexts"][chosen]
    name, user = str(of.get("cluster") or ""), str(of.get("user") or "")
    cluster = found["clusters"].get(name)
    if cluster is None or not isinstance(cluster.get("server"), str) or not cluster["server"]:
        raise InputError(f"{source}: context {chosen!r} needs the cluster {name!r} with its server")
    if user and user not in found["users"]:
        raise InputError(f"{source}: context {chosen!r} needs the user {user!r}, which is not there")
    return Access(source=source, name=name, context=chosen, cluster=cluster, user=found["users"].get(user, {}))


def _document(path: Path) -> Fields:
    try:
        document = goyaml.read(read_text(path).encode()).value
    except ValueError as error:
        raise _unusable(path, str(error)) from None
    if document is not None and not isinstance(document, Mapping):
        raise _unusable(path, "is not a mapping")
    return document or {}


def _unusable(path: Path, why: str) -> InputError:
    return InputError(f"{path}: not a usable kubeconfig: it {why}", "does `kubectl config view` read it?")


def _entries(document: Fields, kind: str, key: str, path: Path) -> list[tuple[str, Fields]]:
    entries = document.get(kind) or []
    found: list[tuple[str, Fields]] = []
    entry: Any
    for entry in entries if isinstance(entries, list) else [None]:
        value: Any = (entry.get(key) or {}) if isinstance(entry, Mapping) else None
        if not isinstance(value, Mapping):
            raise _unusable(path, f"has {kind} that are not a list of names, each with its {key}")
        value = {
            name: str(path.parent / text) if name in _PATHS and isinstance(text, str) and text else text
            for name, text in value.items()
        }
        plugin = value.get("exec")
        command = plugin.get("command") if isinstance(plugin, Mapping) else None
        if isinstance(command, str) and "/" in command:
            value["exec"] = {**plugin, "command": str(path.parent / command)}
        found.append((str(entry.get("name")), value))
    return found


def _in_cluster() -> Access:
    """The service account of the pod that amigen runs in (rest/config.go of client-go, InClusterConfig)."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return Access(
        source=str(_ACCOUNT),
        name=IN_CLUSTER,
        context=IN_CLUSTER,
        cluster={"server": server, "certificate-authority": str(_ACCOUNT / "ca.crt")},
        user={"tokenFile": str(_ACCOUNT / "token")},
    )
