"""NodeConfig as nodeadm reads, merges and validates it: one idea, nodeadm's own view of its API.

The fields with their types are data, printed from nodeadm's API types (`nodeconfig_api.json`, which names the version).
Merging follows nodeadm's internal/api/merge.go and dario.cat/mergo v1.0.2 with `WithOverride`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from amigen.base import goyaml
from amigen.spec.rules.nodeadm import toml
from amigen.userdata.finding import Finding, error, warning

API_VERSION = "node.eks.aws/v1alpha1"
REQUIRED = ("name", "apiServerEndpoint", "certificateAuthority", "cidr")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")


class Api(Struct, frozen=True, kw_only=True):
    """The fields of NodeConfig.

    Attributes:
        source: Module and version from which they were printed.
        fields: Type by path: string, int, bool, optional bool, bytes, time, raw, list of X, map of X.
        values: Known values of fields that take some words only.
    """

    source: str
    fields: dict[str, str]
    values: dict[str, list[str]]

    def kind(self, path: str) -> str:
        """`struct`, a type, or nothing for a path that there is not."""
        if path in self.fields:
            return self.fields[path]
        return "struct" if any(name.startswith(f"{path}.") for name in self.fields) else ""


@lru_cache(maxsize=1)
def api() -> Api:
    """The table, read once."""
    return msgspec.json.decode(Path(__file__).with_name("nodeconfig_api.json").read_bytes(), type=Api)


class Read(Struct, frozen=True, kw_only=True):
    """A NodeConfig, read.

    Attributes:
        config: What nodeadm keeps of it; empty where it cannot be read.
        findings: Why nodeadm refuses it, and what nodeadm ignores in it.
    """

    config: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()


# What eksctl 0.215 does not know, whose nodeadm is of October 2025 (its go.mod).
_NOT_BY_EKSCTL = ("spec.kubelet.maxPodsExpression", "spec.instance.environment", "spec.instance.network")


def read(content: bytes, *, through_eksctl: bool = False) -> Read:
    """Decode one NodeConfig (internal/api/bridge/decode.go).

    Args:
        content: YAML or JSON.
        through_eksctl: eksctl reads it into the API's types and writes it anew: JSON is YAML, a number or a boolean
            becomes text where text is wanted (sigs.k8s.io/yaml, convertToJSONableObject), and newer fields are gone.
    """
    try:
        document = goyaml.read(content, maybe_json=not through_eksctl)
    except ValueError as broken:
        return Read(findings=(_error(f"the NodeConfig {broken}"),))
    config = document.value
    if not isinstance(config, dict):
        return Read(findings=(_error("the NodeConfig is not a mapping"),))
    if kind_of(config) != (API_VERSION, "NodeConfig"):
        found = " ".join(map(str, kind_of(config)))
        message = f"is not a NodeConfig of {API_VERSION}: apiVersion and kind are {found[:80]}"
        return Read(findings=(_error(message, f"apiVersion: {API_VERSION}, kind: NodeConfig"),))
    decoder = _Decoder(document.lines, through_eksctl=through_eksctl)
    kept = decoder.struct(config, "")
    twice = [_warning(f"has {key}: nodeadm takes the last one") for key in document.twice]
    more = [_warning("holds several YAML documents: nodeadm reads the first")] if document.more else []
    return Read(config=kept, findings=(*decoder.errors, *twice, *decoder.warnings, *more))


def _error(message: str, hint: str = "") -> Finding:
    return error("nodeadm", "node-config", message, hint, api().source)


def _warning(message: str, hint: str = "") -> Finding:
    return warning("nodeadm", "node-config", message, hint, api().source)


def kind_of(config: dict[str, Any]) -> tuple[Any, Any]:
    """Its apiVersion and kind, whose names alone Go reads in any case (apimachinery serializer/json/meta.go)."""
    folded = {key.lower(): value for key, value in config.items()}
    return config.get("apiVersion", folded.get("apiversion")), config.get("kind", folded.get("kind"))


class _Decoder:
    """Go's JSON decoding into the API types: names are case-sensitive, null leaves a field empty."""

    def __init__(self, lines: dict[tuple[str, ...], int], *, through_eksctl: bool) -> None:
        self.lines = lines
        self.through_eksctl = through_eksctl
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []

    def struct(self, value: Any, path: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._wrong(path, "a mapping", value)
            return {}
        out: dict[str, Any] = {}
        for key, child in value.items():
            below = f"{path}.{key}" if path else key
            kind = api().kind(below)
            if self.through_eksctl and below in _NOT_BY_EKSCTL:
                message = f"eksctl drops {below}{self._place(below)}: it knows an older NodeConfig"
                hint = "set it in a file of the image in /etc/eks/nodeadm.d"
                self.warnings.append(warning("eksctl", "node-config", message, hint, "eksctl go.mod"))
                continue
            if not kind:
                if path or key.lower() not in ("apiversion", "kind"):
                    self._unknown(below, path)
                continue
            kept = self.struct(child, below) if kind == "struct" else self.value(child, kind, below)
            if kept is not None:
                out[key] = kept
        return out

    def value(self, value: Any, kind: str, path: str) -> Any:
        if value is None or kind == "raw":
            return value
        if kind.startswith("map of "):
            return self._map(value, kind.removeprefix("map of "), path)
        if kind.startswith("list of "):
            return self._list(value, kind.removeprefix("list of "), path)
        return self._scalar(value, kind, path)

    def _map(self, value: Any, inner: str, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "a mapping", value)
        known = api().values.get(path, ())
        for key in value if known else ():
            if key not in known:
                self._unknown(f"{path}.{key}", path, tuple(known))
        zero = {"bool": False, "string": ""}.get(inner)
        kept = {key: self.value(child, inner, f"{path}.{key}") for key, child in value.items()}
        return {key: zero if child is None else child for key, child in kept.items()}

    def _list(self, value: Any, inner: str, path: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(path, "a list", value)
        if inner == "struct":
            if not all(isinstance(child, dict) for child in value):
                self._wrong(path, "a list of mappings", value)
            return value
        kept = [self.value(child, inner, path) for child in value]
        return ["" if child is None and inner == "string" else child for child in kept]

    def _scalar(self, value: Any, kind: str, path: str) -> Any:
        if kind == "string":
            if self.through_eksctl and isinstance(value, bool | int | float):
                value = str(value).lower() if isinstance(value, bool) else f"{value}".removesuffix(".0")
            if not isinstance(value, str):
                return self._wrong(path, "text (in quotes)", value)
            self._word(value, path)
            return value
        if kind in ("bool", "optional bool"):
            return value if isinstance(value, bool) else self._wrong(path, "true or false", value)
        if kind == "int":
            whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
            return value if whole else self._wrong(path, "a whole number", value)
        if kind == "time":
            good = isinstance(value, str) and _TIME.fullmatch(value)
            return value if good else self._wrong(path, "a time such as 2026-01-31T12:00:00Z", value)
        if isinstance(value, list):
            whole = all(isinstance(n, int) and 0 <= n < 256 for n in value)
        else:
            whole = isinstance(value, str) and bool(_BASE64.fullmatch(value.replace("\r", "").replace("\n", "")))
        return value if whole else self._wrong(path, "base64", value)

    def _word(self, value: str, path: str) -> None:
        # nodeadm writes the strategy in lower case, whose script then refuses what it does not know (`at_start`).
        known = api().values.get(path) if path != "spec.instance.localStorage.strategy" else None
        if known and value and value not in known:
            self.warnings.append(_warning(f"{path}: {value!r} is not known to nodeadm; it knows {', '.join(known)}"))

    def _place(self, path: str) -> str:
        line = self.lines.get(tuple(path.split(".")))
        return f" (line {line} of the part)" if line else ""

    def _wrong(self, path: str, wanted: str, value: Any) -> None:
        shown = json.dumps(value, ensure_ascii=False, default=str)[:60]
        field = f"{path or 'of the document'}{self._place(path)}"
        self.errors.append(_error(f"the NodeConfig field {field} must be {wanted}, and is {shown}"))

    def _unknown(self, path: str, parent: str, names: tuple[str, ...] = ()) -> None:
        prefix = f"{parent}." if parent else ""
        known = names or tuple({name[len(prefix) :].split(".")[0] for name in api().fields if name.startswith(prefix)})
        key = path[len(prefix) :]
        hint = self._elsewhere(path, key) or ", ".join(sorted(get_close_matches(key, known, 1) or known))
        message = f"nodeadm ignores {path}{self._place(path)}: it does not know this key"
        self.warnings.append(_warning(message, f"nearest known: {hint}"))

    @staticmethod
    def _elsewhere(path: str, key: str) -> str:
        """A field of kubelet's configuration that was written one level too high."""
        if path.startswith("spec.kubelet."):
            return f"spec.kubelet.config.{key}"
        lower = {name.lower(): name for name in api().fields}
        return lower.get(path.lower(), "")


How = Literal["override", "append", "toml", "inline"]


def how(path: str) -> How:
    """How nodeadm merges a later value of this field into an earlier one."""
    if path == "spec.kubelet.flags":
        return "append"
    if path == "spec.containerd.config":
        return "toml"
    return "inline" if api().kind(path).startswith("map of ") else "override"


class MergeError(ValueError):
    """nodeadm cannot merge two values."""


def merge(earlier: dict[str, Any], later: dict[str, Any], path: str = "") -> dict[str, Any]:
    """The NodeConfig that nodeadm makes of two; texts of containerd become one mapping.

    Raises:
        MergeError: Two containerd configurations are to be merged, and one is not TOML.
    """
    out = dict(earlier)
    for key, value in later.items():
        below = f"{path}.{key}" if path else key
        if api().kind(below) == "struct":
            out[key] = merge(out.get(key) or {}, value, below)
        else:
            out[key] = _merged(out.get(key), value, below)
    return out


def _merged(earlier: Any, later: Any, path: str) -> Any:
    manner = how(path)
    if manner == "append":
        return [*(earlier or ()), *(later or ())]
    if not earlier:
        # A pointer that is not nil counts, whatever it points to.
        return later if later or earlier is None else earlier
    if manner == "toml":
        try:
            return deep(toml(earlier), toml(later)) if later else earlier
        except ValueError as error:
            raise MergeError(f"spec.containerd.config is not TOML: {error}") from None
    if manner == "inline":
        return deep(earlier, later) if later else earlier
    return later or earlier


def deep(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Mergo on maps: mappings deeply, every other value of the later one replaces, lists and empty ones too."""
    out = copy.copy(earlier)
    for key, value in later.items():
        before = out.get(key)
        out[key] = deep(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return out


def validate(config: dict[str, Any], *, whole: bool = True) -> Iterator[Finding]:
    """internal/api/validation.go, and the empty certificate that it lets through.

    Args:
        config: After all merging.
        whole: False where a system still sets the cluster's own fields.
    """
    cluster = config.get("spec", {}).get("cluster", {})
    if cluster.get("enableOutpost") and not cluster.get("id"):
        message = "spec.cluster.id is missing: with enableOutpost nodeadm does not start without it"
        yield error("nodeadm", "cluster", message, "", api().source)
    if not whole:
        return
    # nodeadm asks whether the certificate is there, and not whether it is empty.
    empty = cluster.get("certificateAuthority") in ("", [])
    missing = [name for name in REQUIRED if not cluster.get(name) and not (empty and name == "certificateAuthority")]
    if empty:
        message = (
            "spec.cluster.certificateAuthority is empty: nodeadm takes that, and kubelet trusts no API server then"
        )
        yield error("kubelet", "cluster", message, "set join.eks", api().source)
    if missing:
        verb = "are" if len(missing) > 1 else "is"
        message = f"spec.cluster.{', spec.cluster.'.join(missing)} {verb} missing or empty: nodeadm does not start"
        yield error("nodeadm", "cluster", message, "set join.eks", api().source)
