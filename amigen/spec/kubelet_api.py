"""The kubelet's flags, configuration and feature gates in each Kubernetes version, and a check of values against them.

`kubelet_api.json` is made from the Go types of each version by `tools/kubelet-api/generate.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from amigen.base.errors import Problem
from amigen.base.goyaml import whole
from amigen.base.words import nearest
from amigen.spec.kubelet_values import DURATION, QUANTITY, field_of, refused, together, wrong
from amigen.spec.paths import key_path

ROOT_TYPE = "KubeletConfiguration"
_INTEGERS = {f"{sign}int{bits}": (sign, int(bits or 64)) for sign in ("", "u") for bits in ("", "8", "16", "32", "64")}
_WORDS = {
    "string": "text",
    "bool": "true or false",
    "float64": "a number",
    "duration": 'a duration such as "90s"',
    "durationOrInt": 'a duration such as "90s"',
    "quantity": 'a quantity such as "100Mi"',
    "time": "a time such as 2026-01-02T03:04:05Z",
}


class Ignored(Problem, frozen=True, kw_only=True):
    """A field that the kubelet does not have: it starts without it, and says nothing."""


class KubeletApi(Struct, frozen=True, kw_only=True):
    """What the kubelet of one Kubernetes version takes.

    Attributes:
        version: The release that was read, such as `1.34.4`.
        flags: Name without `--` -> type (of pflag), such as `int32`, `bool`, `stringSlice`.
        feature_gates: Name -> `free`, or the value to which the gate is locked: `true` or `false`.
        types: Name of a Go struct -> JSON key -> type; `KubeletConfiguration` is the whole.
    """

    version: str
    flags: dict[str, str]
    feature_gates: dict[str, str]
    types: dict[str, dict[str, str]]

    def check(self, config: Mapping[str, Any], path: str, flags: Iterable[str] = ()) -> Iterator[Problem]:
        """What the kubelet would refuse, or silently ignore, in a configuration.

        Args:
            config: A KubeletConfiguration.
            path: Where it stands.
            flags: `--NAME=VALUE`, which the kubelet reads over it, and judges with it.
        """
        yield from self._struct(config, ROOT_TYPE, path)
        for key, value in config.items():
            yield from self._meaning(key, value, key_path(path, key))
        given = (self._field(flag) for flag in flags)
        yield from together({**config, **{pair[0]: pair[1] for pair in given if pair}}, path, self.version)

    def _meaning(self, field: str, value: object, path: str) -> Iterator[Problem]:
        if field == "featureGates" and isinstance(value, dict):
            yield from self._gates(value, path)
        else:
            yield from refused(field, value, path)

    def _gates(self, gates: Mapping[str, object], path: str) -> Iterator[Problem]:
        for name, value in gates.items():
            where = key_path(path, name)
            locked = self.feature_gates.get(name)
            if locked is None:
                yield self._unknown("feature gate", name, self.feature_gates, where)
            elif isinstance(value, bool) and locked not in ("free", str(value).lower()):
                message = (
                    f"{name} is locked to {locked} in Kubernetes {self.version}: the kubelet exits with another value"
                )
                yield Problem(path=where, message=message, hint="remove it")

    def _struct(self, value: object, name: str, path: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield wrong(value, "a mapping", path)
            return
        known = self.types[name]
        for key, inner in value.items():
            where = key_path(path, key)
            if key in known:
                yield from self._value(inner, known[key], where)
            else:
                yield self._unknown("field" if name == ROOT_TYPE else f"field of {name}", key, known, where)

    def _value(self, value: object, type_: str, path: str) -> Iterator[Problem]:
        if value is None or type_ == "any":
            return
        if type_ in self.types:
            yield from self._struct(value, type_, path)
        elif type_.startswith("[]"):
            if not isinstance(value, list):
                yield wrong(value, "a list", path)
                return
            for index, item in enumerate(value):
                yield from self._value(item, type_[2:], f"{path}[{index}]")
        elif type_.startswith("map[]"):
            if not isinstance(value, dict):
                yield wrong(value, "a mapping", path)
                return
            for key, item in value.items():
                yield from self._value(item, type_[5:], key_path(path, key))
        elif type_ in _INTEGERS:
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            if not isinstance(value, int) or isinstance(value, bool) or not _fits(value, type_):
                low, high = _span(type_)
                yield wrong(value, f"a whole number from {low} to {high}", path)
        elif not _is_a(value, type_):
            yield wrong(value, _WORDS.get(type_, type_), path)

    def _unknown(self, what: str, name: str, known: Iterable[str], path: str) -> Problem:
        near = nearest(name, known)
        hint = f"did you mean `{near}`?" if near else f"remove it, or see the kubelet of {self.version}"
        message = f"the kubelet of Kubernetes {self.version} has no {what} {name!r}"
        kind = Ignored if what.startswith("field") else Problem
        return kind(path=path, message=message, hint=hint, source="k8s.io/kubernetes")

    def check_flag(self, flag: str, path: str) -> Iterator[Problem]:
        """Why the kubelet would not start with `--NAME=VALUE`."""
        name, given, value = flag.removeprefix("--").partition("=")
        type_ = self.flags.get(name)
        if type_ is None:
            yield self._unknown("flag", f"--{name}", (f"--{known}" for known in self.flags), path)
            return
        if not given:
            if type_ != "bool":
                message = f"--{name} needs a value: the kubelet would read the next flag as its value"
                yield Problem(path=path, message=message, hint=f"--{name}=VALUE")
            return
        read = _flag_value(_unquoted(name, value), type_)
        if read is not _REFUSED:
            if field := field_of(name):
                yield from self._meaning(field, read, path)
        elif name != "node-labels":  # labels have rules of their own (amigen.spec.rules.join)
            words, shown = _FLAG_WORDS.get(type_, type_), value.strip("\"'")[:60]
            words = words.replace("=", "<") if name in _LANGLE else words
            yield Problem(path=path, message=f"--{name} takes {words}, not {shown!r}", hint="")

    def _field(self, flag: str) -> tuple[str, object] | None:
        """The field of the configuration that a flag sets, and its value, where that is judged here."""
        name, given, value = flag.removeprefix("--").partition("=")
        read = _flag_value(_unquoted(name, value) if given else "true", self.flags.get(name, ""))
        field = field_of(name)
        return (field, read) if field and read is not _REFUSED else None


# LangleSeparatedMapStringString of k8s.io/component-base, which says that it is a mapStringString, too.
_LANGLE = ("eviction-hard", "eviction-soft")


def _unquoted(name: str, value: str) -> str:
    value = value.strip("\"'")
    return value.replace("=", " ").replace("<", "=") if name in _LANGLE else value


_FLAG_WORDS = {
    **dict.fromkeys(("mapStringString", "mapStringBool"), "KEY=VALUE,KEY=VALUE"),
    "bool": "true or false",
    "colonSeparatedMultimapStringString": "NAME:VALUE,NAME:VALUE",
    "duration": "a duration such as 90s",
    "pattern=N,...": "FILE=LEVEL,FILE=LEVEL",
    "quantity": "a quantity such as 100Mi",
    "reserved-memory": "NODE:memory=QUANTITY",
    "ip": "an IP address",
    "Level": "a number",
    "float32": "a number",
    **dict.fromkeys(_INTEGERS, "a whole number"),
}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
# In place of the value of a flag that the kubelet does not start with.
_REFUSED = object()
_FLAG_PATTERNS = {
    "Level": "[0-9]{1,9}",
    "colonSeparatedMultimapStringString": r"([^,:]+:[^,]*(,[^,:]+:[^,]*)*)?",
    "duration": DURATION.pattern,
    "ip": r"|[0-9a-fA-F:]*:[0-9a-fA-F:.]*|[0-9]{1,3}(\.[0-9]{1,3}){3}",
    "pattern=N,...": r"([^=,]+=[0-9]+(,[^=,]+=[0-9]+)*)?",
    "quantity": QUANTITY.pattern,
    "reserved-memory": r"([0-9]+:[^=,;:]+=[^=,;:]+(,[^=,;:]+=[^=,;:]+)*(;(?=[0-9])|;?\Z))*",
}


def _flag_value(value: str, type_: str) -> object:
    """As pflag reads it; `_REFUSED` for what it refuses."""
    read: object = value
    if type_ == "bool":  # strconv.ParseBool of Go
        read = value in _TRUE or (value not in _FALSE and _REFUSED)
    elif type_ in _INTEGERS:
        number = whole(value)
        read = _REFUSED if number is None or not _fits(number, type_) else number
    elif type_ in _FLAG_PATTERNS and not re.fullmatch(_FLAG_PATTERNS[type_], value):
        read = _REFUSED
    elif type_ == "stringSlice":
        read = value.split(",") if value else []
    elif type_.startswith("mapString"):
        pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
        inner = {key: _flag_value(one.strip(), "bool") if type_.endswith("Bool") else one for key, _, one in pairs}
        read = inner if all(sign for _, sign, _ in pairs) and _REFUSED not in inner.values() else _REFUSED
    return read


def _span(type_: str) -> tuple[int, int]:
    sign, bits = _INTEGERS[type_]
    return (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _fits(value: int, type_: str) -> bool:
    low, high = _span(type_)
    return low <= value <= high


def _is_a(value: object, type_: str) -> bool:
    if type_ == "bool":
        return isinstance(value, bool)
    if type_.startswith("float"):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if type_ in ("quantity", "durationOrInt") and isinstance(value, (int, float)) and not isinstance(value, bool):
        return True
    pattern = {"duration": DURATION, "durationOrInt": DURATION, "quantity": QUANTITY}.get(type_)
    return isinstance(value, str) and (pattern is None or bool(pattern.fullmatch(value)))


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return loaded


def versions() -> tuple[str, ...]:
    """The Kubernetes versions that are known here, as `MAJOR.MINOR`, oldest first."""
    return tuple(_data()["versions"])


@cache
def kubelet_api(version: str) -> KubeletApi | None:
    """The kubelet of a Kubernetes version (`MAJOR.MINOR`); None where it is not known here."""
    data = _data()
    if version not in data["versions"]:
        return None
    types = {name: _of(entries, version) for name, entries in data["types"].items()}
    return KubeletApi(
        version=data["versions"][version],
        flags=_of(data["flags"], version),
        feature_gates=_of(data["featureGates"], version),
        types={name: known for name, known in types.items() if known},
    )


def _of(entries: dict[str, Any], version: str) -> dict[str, str]:
    """The entries of one version: a plain value holds for all, else there is value -> versions."""
    found = {}
    for name, entry in entries.items():
        value = entry if isinstance(entry, str) else next((v for v, listed in entry.items() if version in listed), None)
        if value is not None:
            found[name] = value
    return found
