"""What was configured before a change, kept so that one command brings it back.

One JSON file per change under `${XDG_STATE_HOME:-~/.local/state}/amigen/kube-proxy/CLUSTER/`; the newest is what
`rollback` goes to. Nothing in it is a secret: KubeProxyConfiguration names a kubeconfig by path only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from amigen.base.errors import InputError
from amigen.base.files import read_text, write_atomically
from amigen.base.paths import state_home


class Saved(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration that was replaced.

    Attributes:
        server: URL of the API server, so that it never goes to another cluster.
        way: Where `before` belongs: the ConfigMap's key, or the add-on's configurationValues.
        before: The text that was there; `after` the text that was put in its place.
        name, key: ConfigMap and key; of the add-on its cluster and version.
        at: When, RFC 3339.
    """

    format: Literal["amigen kube-proxy 1"]
    cluster: str
    server: str
    way: Literal["addon", "configmap"]
    name: str
    key: str
    before: str
    after: str
    at: str


def folder(cluster: str) -> Path:
    """Where the saved configurations of a cluster are."""
    return state_home() / "kube-proxy" / re.sub(r"[^A-Za-z0-9._-]", "_", cluster)


def save(saved: Saved, *, aside: bool = False) -> Path:
    """Write it, readable by its owner only; the path.

    Args:
        aside: Keep it out of the row that `rollback` goes by: a rollback replaces something too, and must not become
            the next rollback's target.
    """
    where = folder(saved.cluster) / ("replaced" if aside else "")
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = re.sub(r"[^0-9TZ]", "", saved.at)
    count = len(list(where.glob(f"{stamp}-*.json")))
    path = where / f"{stamp}-{count}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n", mode=0o600)
    return path


def load(path: Path, server: str) -> Saved:
    """Read one.

    Raises:
        InputError: Not there, not a saved configuration, or of another cluster.
    """
    try:
        content = read_text(path, hint="the saved configurations are listed by `rollback --list`")
        saved = msgspec.json.decode(content, type=Saved)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: not a configuration that amigen saved ({error})") from None
    if saved.server != server:
        raise InputError(f"{path}: saved from {saved.server}, and this context is {server}", "choose another --context")
    return saved


def newest(cluster: str, server: str) -> Path:
    """The newest saved configuration of this cluster.

    Raises:
        InputError: Nothing is saved.
    """
    for path in reversed(listed(cluster)):
        try:
            load(path, server)
        except InputError:
            continue
        return path
    raise InputError(
        f"nothing is saved for cluster {cluster} in {folder(cluster)}",
        "amigen saves the configuration at each `apply`; from another machine bring its file and name it with --saved",
    )


def listed(cluster: str) -> list[Path]:
    """All of this cluster, oldest first."""
    where = folder(cluster)
    return sorted(where.glob("*.json")) if where.is_dir() else []
