"""The build record: what was built of what, what was proven of it, and where it is. One JSON document per build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from amigen.base.errors import InputError, masked
from amigen.base.files import read_file, write_atomically
from amigen.spec.model import NodeImage

SCHEMA = "amigen/build/v1"

When: TypeAlias = Literal["builder", "cleaned", "image"]
Outcome: TypeAlias = Literal["passed", "failed", "not provable", "error"]


class _Record(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base: immutable, by keyword, camelCase in JSON as in the spec."""


class PackageChanges(_Record, frozen=True, kw_only=True):
    """The packages, compared with the base."""

    added: Annotated[dict[str, str], Meta(description="Package -> version.")] = {}
    changed: Annotated[dict[str, tuple[str, str]], Meta(description="Package -> old and new version.")] = {}
    removed: Annotated[dict[str, str], Meta(description="Package -> version.")] = {}


def package_diff(before: dict[str, str], after: dict[str, str]) -> PackageChanges:
    """What the build did to the packages of its base."""
    return PackageChanges(
        added={n: v for n, v in sorted(after.items()) if n not in before},
        changed={n: (before[n], v) for n, v in sorted(after.items()) if n in before and before[n] != v},
        removed={n: v for n, v in sorted(before.items()) if n not in after},
    )


class CheckRecord(_Record, frozen=True, kw_only=True):
    """A check and its result."""

    id: Annotated[str, Meta(description="Such as `test_package[ipvsadm]`.")]
    when: Annotated[
        When,
        Meta(description="On the builder after bootstrap and reboot, after its cleaning, or on a boot of the image."),
    ]
    outcome: Annotated[
        Outcome, Meta(description="`not provable`: not on this machine; `error`: it could not be checked.")
    ]
    message: Annotated[str, Meta(description="Expected, found and what to do; empty when it passed.")] = ""
    seconds: Annotated[float, Meta(description="How long it took.")] = 0.0
    phase: Annotated[str, Meta(description="Of the image: such as `first boot` and `after a reboot`.")] = ""


class Kernel(_Record, frozen=True, kw_only=True):
    """Kernels and modules of the image."""

    running: Annotated[str, Meta(description="The kernel of the builder.")]
    installed: Annotated[tuple[str, ...], Meta(description="Kernels with modules in the image.")] = ()
    modules: Annotated[dict[str, str], Meta(description="Module of the plan -> `loaded`, `built in` or `absent`.")] = {}


class ImageRecord(_Record, frozen=True, kw_only=True):
    """One image: a platform on an architecture."""

    platform: str
    architecture: str
    outcome: Annotated[Literal["built", "failed", "interrupted"], Meta(description="`built`: kept, and proven.")]
    verified: Annotated[bool, Meta(description="All checks that can be proven passed on this very image.")] = False
    error: Annotated[str, Meta(description="Why there is no image.")] = ""
    source: Annotated[str, Meta(description="The base in words: file, URL, built-in root, SSM parameter.")] = ""
    source_image: Annotated[
        str, Meta(description="Source AMI; locally `sha256:...` of the base, or the cache key of a built-in root.")
    ] = ""
    region: Annotated[str, Meta(description="Region of the build; empty for a local image.")] = ""
    image_id: Annotated[str, Meta(description="AMI in that region; empty for a local image.")] = ""
    amis: Annotated[dict[str, str], Meta(description="Region -> AMI, copies included.")] = {}
    region_errors: Annotated[dict[str, str], Meta(description="Region -> why it has no copy or share yet.")] = {}
    file: Annotated[str, Meta(description="The local image; empty on AWS.")] = ""
    sha256: Annotated[str, Meta(description="Its checksum.")] = ""
    packages: PackageChanges = PackageChanges()
    installed_packages: Annotated[
        dict[str, str], Meta(description="All packages of the image: package -> version. Empty: not recorded.")
    ] = {}
    kernel: Kernel | None = None
    checks: tuple[CheckRecord, ...] = ()
    phases: Annotated[dict[str, float], Meta(description="Phase -> seconds, in their order.")] = {}
    processor: Annotated[str, Meta(description="How a local builder ran: `kvm` or `tcg`; empty on AWS.")] = ""
    log: Annotated[str, Meta(description="File with all that Packer said; empty where it was never started.")] = ""


class BuildRecord(_Record, frozen=True, kw_only=True):
    """A build."""

    schema: Literal["amigen/build/v1"] = "amigen/build/v1"
    build: Annotated[str, Meta(description="Id of the build; also a tag of all that it makes on AWS.")]
    target: Literal["local", "aws"]
    name: Annotated[str, Meta(description="Name of the spec.")]
    spec_digest: Annotated[str, Meta(description="sha256 of the spec's content.")]
    kubernetes_version: str
    amigen_version: str
    packer_version: str
    started_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    finished_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    spec: Annotated[
        dict[str, Any],
        Meta(description="Key path -> value of what the spec said; contents and scripts as a checksum, no passwords."),
    ] = {}
    images: tuple[ImageRecord, ...] = field(default_factory=tuple)


# Keys whose values may be long or secret: compared by checksum.
_CONTENTS = ("content", "contentBase64", "script", "config", "baseRuntimeSpec", "certificateAuthority")


def recorded_spec(spec: NodeImage) -> dict[str, Any]:
    """What a spec says, for comparisons: key path -> value.

    Contents and scripts are checksums, and passwords of URLs are masked: the record is readable by everybody.
    """
    return dict(_flat("", msgspec.to_builtins(spec)))


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            below = f"{path}.{key}" if path else str(key)
            if key in _CONTENTS and isinstance(each, str):
                yield below, f"sha256:{hashlib.sha256(each.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
            else:
                yield from _flat(below, each)
    elif isinstance(value, (list, tuple)) and value:
        for number, each in enumerate(value):
            yield from _flat(f"{path}[{number}]", each)
    elif value not in (None, [], {}, ()):
        yield path, masked(value) if isinstance(value, str) else value


def write_record(record: BuildRecord, path: Path) -> None:
    """Write it atomically and durably."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n", mode=0o644)


_NAME_IT = "name the record.json that `amigen build` wrote, or build again"


def read_record(path: Path) -> BuildRecord:
    """Read it back.

    Raises:
        InputError: The file does not exist, or is not a record of this schema.
    """
    try:
        return msgspec.json.decode(read_file(path, hint=_NAME_IT), type=BuildRecord)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a build record of this amigen: {error}", _NAME_IT) from None


def record_schema() -> dict[str, Any]:
    """The JSON Schema of a build record, made from the same types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(BuildRecord),
        "title": "amigen build record",
    }


def architecture_of(spec: NodeImage, disk: Path, wanted: str | None = None) -> str:
    """The architecture of an image file: what is wanted; else what its place says, as `amigen build` lays it out
    (PLATFORM-ARCHITECTURE/disk.qcow2), or a build record beside it; else the spec's only one.

    Raises:
        InputError: The spec has several, and nothing says which.
    """
    known = spec.architectures
    if wanted or len(known) == 1:
        return wanted or known[0]
    folders: dict[str, str] = {f"{platform}-{each}": each for platform in spec.platforms for each in known}
    found = folders.get(disk.parent.name) or _recorded(disk)
    if found not in known:
        raise InputError(f"{disk}: the spec has several architectures", f"choose with --architecture {'|'.join(known)}")
    return found


def _recorded(disk: Path) -> str | None:
    for folder in (disk.parent, disk.parent.parent):
        with suppress(InputError):
            images = read_record(folder / "record.json").images
            mine = [image for image in images if Path(image.file).parts[-2:] == disk.parts[-2:]] or images
            found = {image.architecture for image in mine}
            return found.pop() if len(found) == 1 else None
    return None
