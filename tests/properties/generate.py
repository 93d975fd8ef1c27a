"""Random specs out of the model itself: every field, every type, texts that fit their pattern and texts that do not.

One generator serves hypothesis (whose `randoms()` it draws from) and the run of ten thousand (with seeds).
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import msgspec

from amigen.platforms import PLATFORMS
from amigen.render.packer import INSTANCE_TYPES
from amigen.spec.load import _as_yaml, check_bytes
from amigen.spec.model import NodeImage
from amigen.spec.shape import Shape, fields
from tests.hostile.corpus import strings
from tests.properties.places import at, is_there, steps
from tests.specs import CA, MINIMAL, mapping

# Python's own reader of patterns, which has no public name.
signs: Any = import_module("re._constants" if sys.version_info >= (3, 11) else "sre_constants")
patterns: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

_PRINTABLE = [chr(c) for c in range(0x20, 0x7F)]
# Where a random text that fits the pattern would nearly always break a rule.
_GOOD: dict[str, tuple[Any, ...]] = {
    "certificateAuthority": (CA,),
    "serviceCIDR": ("10.100.0.0/16", "172.20.0.0/16", "fd00::/108"),
    "kubernetesVersion": ("1.31", "1.34", "1.36"),
    "contentBase64": ("AAEC", "w6TwnwE=", "QQ=="),
    "apiVersion": (MINIMAL["apiVersion"],),
    "kind": (MINIMAL["kind"],),
    "platforms": (["al2023"], ["al2023", "ubuntu-24.04"], ["ubuntu-22.04"], ["debian-12", "debian-13", "ubuntu-26.04"]),
    "architectures": (["x86_64"], ["arm64"], ["x86_64", "arm64"]),
    "sshSourceCidrs": (["10.0.0.0/8"], ["192.0.2.7/32", "2001:db8::/32"]),
    "nameservers": (["10.0.0.2"], ["fd00::2", "10.0.0.2"]),
    "flags": (["--v=4"], ["--node-ip=::", "--cloud-provider=external"], ["--system-reserved=cpu=100m,memory=200Mi"]),
    "amiName": ("a-{build}", "{name} ({platform})/[{architecture}]'@ {build}"),
    "actions": (["*"], ["s3:GetObject", "ssm:Get*"]),
    "resources": (["*"], ['arn:aws:s3:::${a}/%{b}"\\{{c}}*']),
    "maxPodsExpression": ("max_pods - 10", "min(110, ips_per_eni * default_enis)"),
    "enableOutpost": (False,),
}


def random_spec(rng: Random, *, hostile: float = 0.05) -> dict[str, Any]:
    """A spec as a mapping; each text is, with the probability `hostile`, one of the corpus."""
    document = random_struct(NodeImage, rng, hostile, share=rng.choice((0.1, 0.3, 0.8)))
    for key, value in MINIMAL.items():
        document.setdefault(key, value)
    # It names a file, and these specs have none beside them.
    document.pop("userData", None)
    for key, all_ in (("platforms", tuple(PLATFORMS)), ("architectures", tuple(INSTANCE_TYPES))):
        if document.get(key, True):
            _rekey(document, all_, document.get(key, ["x86_64"]), rng)
    return document


def _rekey(node: Any, all_: tuple[str, ...], chosen: list[str], rng: Random) -> None:
    """Make entries of mappings by platform or architecture those of the ones that the spec has."""
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _rekey(child, all_, chosen, rng)
    if isinstance(node, dict):
        for key in [key for key in node if key in all_ and key not in chosen]:
            node[rng.choice(chosen)] = node.pop(key)


def valid_spec(rng: Random, *, hostile: float = 0.05) -> dict[str, Any]:
    """A random spec without what the check does not take; what is left is often still rich."""
    return valid(random_spec(rng, hostile=hostile))


def valid(document: dict[str, Any], fallback: dict[str, Any] | None = None) -> dict[str, Any]:
    """The document without what the check does not take; the smallest spec with `fallback` where nothing is left."""
    for _ in range(15):
        errors = check_bytes(as_yaml(document)).errors
        if not errors:
            return document
        # From the end, so that the indexes of lists still hold.
        for problem in sorted(errors, key=lambda p: steps(p.path) and str(p.path), reverse=True):
            _remove(document, steps(problem.path))
        document.update({key: value for key, value in (fallback or {}).items() if not document.get(key)})
    return mapping(fallback or {})


def as_yaml(document: dict[str, Any]) -> bytes:
    """The document as a file."""
    return _as_yaml(msgspec.json.encode(document).decode()).encode()


def _remove(document: dict[str, Any], place: tuple[Any, ...]) -> None:
    if not place or place[0] in MINIMAL:
        document.update(mapping() if not place else {str(place[0]): MINIMAL[place[0]]})
        return
    if place == ("kubeProxy", "mode"):
        document["kubernetesVersion"] = MINIMAL["kubernetesVersion"]
        return
    while len(place) > 1 and not is_there(document, place):
        place = place[:-1]
    try:
        del at(document, place[:-1])[place[-1]]
    except (LookupError, TypeError):
        document.pop(str(place[0]), None)


def random_struct(struct: Any, rng: Random, hostile: float, share: float) -> dict[str, Any]:
    out = {}
    for key, (_, shape, required) in fields(struct).items():
        if required or rng.random() < share:
            if key in _GOOD and rng.random() > hostile:
                out[key] = rng.choice(_GOOD[key])
            else:
                out[key] = _value(shape, rng, hostile, share)
    if "contentBase64" in out and "content" in out:
        del out[rng.choice(("content", "contentBase64"))]
    return out


def _value(shape: Shape, rng: Random, hostile: float, share: float) -> Any:
    if shape.kind == "struct":
        return random_struct(shape.type, rng, hostile, share)
    if shape.kind == "list":
        assert shape.item
        return [_value(shape.item, rng, hostile, share) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if shape.kind == "map":
        assert shape.item
        assert shape.key
        count = rng.choice((0, 1, 1, 2))
        return {_value(shape.key, rng, hostile, share): _value(shape.item, rng, hostile, share) for _ in range(count)}
    if shape.kind == "choice":
        return rng.choice(_corpus()) if rng.random() < hostile / 4 else rng.choice(shape.choices)
    if shape.kind == "boolean":
        return rng.random() < 0.5
    if shape.kind == "integer":
        low = next((m.ge for m in shape.metas if m.ge is not None), -(2**31))
        high = next((m.le for m in shape.metas if m.le is not None), 2**31)
        return rng.choice((low, high, rng.randint(int(low), int(high))))
    if shape.kind == "union":
        return _value(rng.choice(shape.members), rng, hostile, share)
    if shape.kind == "any":
        return rng.choice(({}, [], 5, 0.5, True, None, "text", rng.choice(_corpus())))
    return text(shape, rng, hostile)


def text(shape: Shape, rng: Random, hostile: float) -> str:
    """A text of the corpus, or one that fits the pattern."""
    if not shape.pattern:
        return rng.choice(_corpus()) or "x"
    return rng.choice(_corpus()) if rng.random() < hostile else sample(shape.pattern, rng)


@cache
def _corpus() -> tuple[str, ...]:
    return tuple(strings())


def sample(pattern: str, rng: Random) -> str:
    """A text that the pattern matches as a whole; of open ends, a short one."""
    for _ in range(20):
        found = "".join(_sampled(_parsed(pattern), rng))
        if re.search(pattern, found):
            return found
    return "x"


@cache
def _parsed(pattern: str) -> Any:
    return patterns.parse(pattern)


def _sampled(parsed: Any, rng: Random) -> list[str]:
    out: list[str] = []
    for sign, argument in parsed:
        if sign is signs.LITERAL:
            out.append(chr(argument))
        elif sign is signs.IN:
            out.append(_one_of(argument, rng))
        elif sign is signs.ANY:
            out.append(rng.choice(_PRINTABLE))
        elif sign in (signs.MAX_REPEAT, signs.MIN_REPEAT):
            low, high, inner = argument
            for _ in range(rng.randint(low, min(int(high), low + 6))):
                out += _sampled(inner, rng)
        elif sign is signs.BRANCH:
            out += _sampled(rng.choice(argument[1]), rng)
        elif sign is signs.SUBPATTERN:
            out += _sampled(argument[3], rng)
        else:
            assert sign in (signs.AT, signs.ASSERT_NOT), sign
    return out


def _one_of(items: Any, rng: Random) -> str:
    if items[0][0] is signs.NEGATE:
        refused = _members(items[1:])
        # A class that leaves out a few characters: mostly what does harm, and some of all other planes.
        return rng.choice([c for c in "'\"$`\\{}%# *ä\u2028\U0001f600a-]" if c not in refused])
    return rng.choice(sorted(_members(items)))


def _members(items: Any) -> set[str]:
    out: set[str] = set()
    for sign, argument in items:
        if sign is signs.LITERAL:
            out.add(chr(argument))
        else:
            assert sign is signs.RANGE, sign
            out |= {chr(c) for c in range(argument[0], argument[1] + 1)}
    return out
