"""What changed between two images, by their build records: packages, kernel, modules, checks, spec. Pure.

As text, as Markdown for release notes, and as a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from amigen.base.errors import InputError
from amigen.build.record import BuildRecord, ImageRecord, PackageChanges, package_diff, read_record

State = Literal["passed", "failed", "not provable", "error", "absent"]


class Side(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the two images: how it was named, and which build it is of.

    Attributes:
        image: AMI or file.
        source: The base, as the record names it.
    """

    name: str
    image: str
    build: str
    finished_at: str
    spec_digest: str
    source: str


class Changed(Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """A value that changed; null: not there."""

    before: Any
    after: Any


class CheckChange(Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """A check with its outcome in both."""

    id: str
    before: State
    after: State


class ImageDiff(
    Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to", "kernels": "installedKernels"}
):
    """The difference of two images of one platform and architecture.

    Attributes:
        packages: None where the records do not say.
        kernel: The running kernel of the builder; None where it is the same or not known.
        kernels: Kernels with modules in the image.
        modules: Module of the plan -> `loaded`, `built in`, `absent`; null: not of the plan.
        won: Checks that pass now and did not before.
        lost: Checks that passed before and do not now.
        spec: Key path -> values; None where the records do not say.
        notes: What the records do not say.
    """

    platform: str
    architecture: str
    before: Side
    after: Side
    packages: PackageChanges | None
    kernel: Changed | None
    kernels: Changed | None
    modules: dict[str, Changed]
    won: tuple[CheckChange, ...]
    lost: tuple[CheckChange, ...]
    spec: dict[str, Changed] | None
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Nothing is known to differ."""
        packages = self.packages
        changed = packages is not None and (packages.added or packages.changed or packages.removed)
        return not (changed or self.kernel or self.kernels or self.modules or self.won or self.lost or self.spec)


def find_records(named: str, folder: Path) -> tuple[BuildRecord, tuple[ImageRecord, ...]]:
    """A build record and those of its images that are meant.

    Args:
        named: A file, or an AMI that a record below the folder names.
        folder: Where `amigen build` writes.

    Raises:
        InputError: It is not a build record, or no record names the AMI.
    """
    if not named.startswith("ami-"):
        record = read_record(Path(named))
        return record, record.images
    # The build's own record, which stays as it was, before the one that later builds replace.
    paths = sorted(folder.glob("*/builds/*/record.json"), reverse=True) + sorted(folder.glob("*/record.json"))
    for path in paths:
        try:
            record = read_record(path)
        except InputError:
            continue
        images = tuple(each for each in record.images if named in (each.image_id, *each.amis.values()))
        if images:
            return record, images
    raise InputError(
        f"no build record in {folder} names {named}",
        "name the record.json of its build; the tag amigen/build of the AMI says which, and --records where they are",
    )


def compare_records(
    names: tuple[str, str],
    before: tuple[BuildRecord, tuple[ImageRecord, ...]],
    after: tuple[BuildRecord, tuple[ImageRecord, ...]],
    *,
    platforms: Sequence[str] = (),
    architectures: Sequence[str] = (),
) -> tuple[ImageDiff, ...]:
    """The differences of the images that both have; all platforms and architectures where none is chosen.

    Raises:
        InputError: They have no such platform and architecture in common.
    """
    old = {(each.platform, each.architecture): each for each in before[1]}
    new = {(each.platform, each.architecture): each for each in after[1]}
    both = [key for key in old if key in new]
    if not both:
        has = [", ".join("/".join(key) for key in each) or "none" for each in (old, new)]
        raise InputError(
            f"{names[0]} has images of {has[0]}, and {names[1]} of {has[1]}", "compare images of one platform"
        )
    chosen = [
        key for key in both if (not platforms or key[0] in platforms) and (not architectures or key[1] in architectures)
    ]
    if not chosen:
        known = ", ".join("/".join(key) for key in both)
        raise InputError("the records have no such image in common", f"they have: {known}")
    return tuple(_compare(names, (before[0], old[key]), (after[0], new[key])) for key in chosen)


def _compare(
    names: tuple[str, str], before: tuple[BuildRecord, ImageRecord], after: tuple[BuildRecord, ImageRecord]
) -> ImageDiff:
    (old_build, old), (new_build, new) = before, after
    notes = []
    packages = _packages(old, new)
    if packages is None:
        notes.append("packages are not known: a record has no full package list, and the two bases differ")
    spec = _changed(old_build.spec, new_build.spec) if old_build.spec and new_build.spec else None
    if spec is None and old_build.spec_digest != new_build.spec_digest:
        notes.append("the specs differ; a record does not say what its spec said")
    checks = _outcomes(old), _outcomes(new)
    ids = sorted({*checks[0], *checks[1]})
    changes = [CheckChange(id=i, before=checks[0].get(i, "absent"), after=checks[1].get(i, "absent")) for i in ids]
    kernels, modules = {}, {}
    if old.kernel and new.kernel:
        said = ({"running": each.running, "installed": sorted(each.installed)} for each in (old.kernel, new.kernel))
        kernels, modules = _changed(*said), _changed(old.kernel.modules, new.kernel.modules)
    else:
        notes.append("kernels and modules are not known: a record does not say them")
    return ImageDiff(
        platform=old.platform,
        architecture=old.architecture,
        before=_side(names[0], old_build, old),
        after=_side(names[1], new_build, new),
        packages=packages,
        kernel=kernels.get("running"),
        kernels=kernels.get("installed"),
        modules=modules,
        won=tuple(each for each in changes if each.after == "passed" != each.before),
        lost=tuple(each for each in changes if each.before == "passed" != each.after),
        spec=spec,
        notes=tuple(notes),
    )


def _side(name: str, build: BuildRecord, image: ImageRecord) -> Side:
    return Side(
        name=name,
        image=image.image_id or image.file,
        build=build.build,
        finished_at=build.finished_at,
        spec_digest=build.spec_digest,
        source=image.source_image,
    )


def _packages(old: ImageRecord, new: ImageRecord) -> PackageChanges | None:
    """By the full lists; of older records, by what both builds did to the same base."""
    if old.installed_packages and new.installed_packages:
        return package_diff(old.installed_packages, new.installed_packages)
    if not old.source_image or old.source_image != new.source_image:
        return None
    base: dict[str, str] = {}
    for each in (old, new):
        base |= each.packages.removed
        base |= {name: versions[0] for name, versions in each.packages.changed.items()}
    return package_diff(_touched(base, old.packages), _touched(base, new.packages))


def _touched(base: dict[str, str], changes: PackageChanges) -> dict[str, str]:
    """The packages that either build touched, as one of them left them."""
    left = {name: version for name, version in base.items() if name not in changes.removed}
    return left | changes.added | {name: versions[1] for name, versions in changes.changed.items()}


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Changed]:
    keys = dict.fromkeys((*old, *new))
    return {key: Changed(before=old.get(key), after=new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _outcomes(image: ImageRecord) -> dict[str, State]:
    """Check -> its outcome: the worst of all the moments at which it was made."""
    worst: dict[str, State] = {}
    order = ("failed", "error", "not provable", "passed")
    for check in image.checks:
        seen = worst.get(check.id, check.outcome)
        worst[check.id] = min(seen, check.outcome, key=order.index)
    return worst


def diff_lines(diffs: tuple[ImageDiff, ...]) -> Iterator[str]:
    """Lines of text output."""
    for diff in diffs:
        yield f"{diff.platform}/{diff.architecture}: {diff.before.name} -> {diff.after.name}"
        for title, rows in _sections(diff):
            yield f"  {title}"
            yield from (f"    {name}: {change}" for name, change in rows)
        if diff.same:
            yield "  no difference is known"
        yield from (f"  note: {note}" for note in diff.notes)


def diff_markdown(diffs: tuple[ImageDiff, ...]) -> Iterator[str]:
    """For release notes."""
    for diff in diffs:
        yield f"## {diff.platform} {diff.architecture}"
        yield ""
        yield f"{_code(diff.before.image or diff.before.name)} to {_code(diff.after.image or diff.after.name)}"
        for title, rows in _sections(diff):
            yield ""
            yield f"### {title}"
            yield ""
            yield from (f"- {_code(name)}: {_code(change)}" for name, change in rows)
        yield from ("", "No difference is known.") if diff.same else ()
        for note in diff.notes:
            yield ""
            yield f"> {note}"
        yield ""


def _code(text: str) -> str:
    """A code span that nothing in the text ends."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _sections(diff: ImageDiff) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    packages = diff.packages or PackageChanges()
    kernel = [(name, _arrow(each)) for name, each in (("running", diff.kernel), ("installed", diff.kernels)) if each]
    sections = (
        ("Base image", [("source", f"{diff.before.source} -> {diff.after.source}")]
         if diff.before.source != diff.after.source else []),
        ("Packages changed", [(name, f"{old} -> {new}") for name, (old, new) in packages.changed.items()]),
        ("Packages added", list(packages.added.items())),
        ("Packages removed", list(packages.removed.items())),
        ("Kernel", kernel),
        ("Modules", [(name, _arrow(each)) for name, each in diff.modules.items()]),
        ("Checks that pass now", [(each.id, f"{each.before} -> {each.after}") for each in diff.won]),
        ("Checks that passed before", [(each.id, f"{each.before} -> {each.after}") for each in diff.lost]),
        ("Spec", [(path, _arrow(each)) for path, each in (diff.spec or {}).items()]),
    )  # fmt: skip
    yield from ((title, rows) for title, rows in sections if rows)


def _arrow(change: Changed) -> str:
    return f"{_word(change.before)} -> {_word(change.after)}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "not there" if value is None else str(value)
