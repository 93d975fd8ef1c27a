"""What a build has done, in words, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amigen.build.record import BuildRecord, ImageRecord
from amigen.spec.model import NodeImage


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for: the next command has to say it again.

    Attributes:
        path: Of the spec, as it was given.
        platforms, architectures: The part of the spec that was asked for; empty: all.
        folder: Of results, where it is another than the usual one.
    """

    spec: NodeImage
    path: str
    platforms: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    folder: Path | None = None


def conclusion(record: BuildRecord, path: Path, asked: Asked) -> str:
    """Where things are, and what to do next."""
    lines: list[str] = []
    for image in record.images:
        name = f"{image.platform}/{image.architecture}"
        if image.outcome != "built":
            lines.append(f"{name}: {image.outcome}; nothing was kept" + (f" (log: {image.log})" if image.log else ""))
            continue
        passed = sum(check.outcome == "passed" for check in image.checks)
        unproven = sum(check.outcome == "not provable" for check in image.checks)
        note = f", {unproven} not provable here" if unproven else ""
        where = image.file or ", ".join(f"{ami} in {region}" for region, ami in image.amis.items())
        lines.append(f"{name}: {where}; {passed} checks passed{note}; {sum(image.phases.values()):.0f} s")
        lines += [f"  {region}: not yet: {why}" for region, why in image.region_errors.items()]
    lines.append(f"record: {path}")
    lines += [f"next: {line}" for line in _next(record, asked)]
    return "\n".join(lines)


def _next(record: BuildRecord, asked: Asked) -> Iterator[str]:
    built = [image for image in record.images if image.outcome == "built"]
    if record.target == "local":
        for image in built:
            yield f"{_command('verify', asked, *_of(image, asked))} {shlex.quote(image.file)}"
        if built:
            yield "boot it by hand: docs/build.md says how"
    elif any(image.region_errors for image in built):
        part = [word for value in asked.platforms for word in ("--platform", value)]
        part += [word for value in asked.architectures for word in ("--architecture", value)]
        where = ["-o", str(asked.folder)] if asked.folder else []
        yield f"{_command('build', asked, '--target', 'aws', *part, *where, '--resume')}, for what is missing"
    elif built:
        named = ["--record", str(asked.folder / record.name / "record.json")] if asked.folder else []
        whole = len(built) == len(asked.spec.platforms) * len(asked.spec.architectures)
        for image in built[:1] if whole else built:
            part = [] if whole else _of(image, asked)
            yield f"{_command('publish', asked, *part, *named)}, for launch templates"


def _of(image: ImageRecord, asked: Asked) -> list[str]:
    """The options that tell this image from the others of its spec."""
    return [
        *(("--platform", image.platform) if len(asked.spec.platforms) > 1 else ()),
        *(("--architecture", image.architecture) if len(asked.spec.architectures) > 1 else ()),
    ]


def _command(name: str, asked: Asked, *options: str) -> str:
    return shlex.join(["amigen", name, asked.path, *options])
