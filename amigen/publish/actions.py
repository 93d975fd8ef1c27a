"""What a publish can do, one type each. A plan is a list of these; applying it does them and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from amigen.publish.names import Place


@dataclass(frozen=True, kw_only=True)
class Action:
    """Base.

    Attributes:
        step: Its name in the ledger and in JSON.
        lines: What changes in a launch template.
    """

    step: ClassVar[str]
    lines: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line for a person."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TagImage(Action):
    """Put the tags of success on the image of the build, and on its snapshots."""

    step = "verified"
    image: str
    snapshots: tuple[str, ...]
    tags: dict[str, str]

    @property
    def title(self) -> str:
        return f"tag {self.image} and its snapshots: " + ", ".join(f"{k}={_short(v)}" for k, v in self.tags.items())


@dataclass(frozen=True, kw_only=True)
class RemoveFailedCopy(Action):
    """Remove a copy that EC2 gave up; its name stands in the way of the next one."""

    step = "removed-failed-copy"
    image: str
    reason: str

    @property
    def title(self) -> str:
        return f"remove the failed copy {self.image}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class CopyImage(Action):
    """Copy the image of the build into this region, and wait for it."""

    step = "copied"
    source: str
    source_region: str
    name: str
    tags: dict[str, str]
    encrypted: bool
    kms_key: str | None

    @property
    def title(self) -> str:
        key = f" with {self.kms_key}" if self.kms_key else ""
        return f"copy {self.source} from {self.source_region}" + (f", encrypted{key}" if self.encrypted else "")


@dataclass(frozen=True, kw_only=True)
class AwaitImage(Action):
    """Wait for an image that EC2 is still making."""

    step = "copied"
    image: str

    @property
    def title(self) -> str:
        return f"wait for {self.image}, which is being made"


@dataclass(frozen=True, kw_only=True)
class ShareImage(Action):
    """Let others launch the image; with `snapshots`, let accounts copy it, too."""

    step = "shared"
    accounts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    snapshot_accounts: tuple[str, ...] = ()
    public: bool = False

    @property
    def title(self) -> str:
        parts = ["make the image public"] if self.public else []
        if self.accounts or self.organizations or self.units:
            parts.append("share the image with " + ", ".join((*self.accounts, *self.organizations, *self.units)))
        if self.snapshot_accounts:
            parts.append("share its encrypted snapshots with " + ", ".join(self.snapshot_accounts))
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class DeprecateImage(Action):
    """Set the time from which on the image is not shown to others any more."""

    step = "deprecation"
    at: str

    @property
    def title(self) -> str:
        return f"deprecate the image from {self.at} on"


@dataclass(frozen=True, kw_only=True)
class PutParameter(Action):
    """Write the id of the image to its SSM parameter.

    Attributes:
        image: None for the copy that the same plan makes.
        old: What stands there; None where there is no parameter yet.
    """

    step = "parameter"
    name: str
    image: str | None
    old: str | None

    @property
    def title(self) -> str:
        return f"parameter {self.name}: {self.old or '(none)'} -> {self.image or '(the copy)'}"


@dataclass(frozen=True, kw_only=True)
class CreateTemplate(Action):
    """Make a launch template; its first version is its default, EC2 knows no other way."""

    step = "template"
    name: str
    data: dict[str, Any] = field(repr=False)
    image: str | None
    digest: str
    tags: dict[str, str]

    @property
    def title(self) -> str:
        return f"create launch template {self.name} (its version 1 is the default)"


@dataclass(frozen=True, kw_only=True)
class CreateVersion(Action):
    """Make a new version of a launch template.

    Attributes:
        after: The newest version when the plan was made: the client token is made of it, so that of two publishers who
            saw the same newest version only one can make the next.
        lines: The difference to the default version.
    """

    step = "template"
    name: str
    template: str
    after: int
    default: int
    data: dict[str, Any] = field(repr=False)
    image: str | None
    digest: str

    @property
    def title(self) -> str:
        return f"new version of launch template {self.name} ({self.template}), from version {self.default}"


@dataclass(frozen=True, kw_only=True)
class RunCanary(Action):
    """Launch one instance of the new version, verify it, terminate it."""

    step = "canary"
    name: str
    template: str | None
    version: int | None
    image: str | None

    @property
    def title(self) -> str:
        return f"launch a canary of {self.name} version {_version(self.version)}, verify it, terminate it"


@dataclass(frozen=True, kw_only=True)
class SetDefault(Action):
    """Move `$Default`.

    Attributes:
        version: None for the version that the same plan makes.
        old: What it is when the plan is made; if it is another when the action comes, somebody else was there.
        back: A rollback.
        lines: The difference, where no new version shows it.
    """

    step = "default"
    name: str
    template: str
    version: int | None
    old: int
    back: bool = False

    @property
    def title(self) -> str:
        return f"default of {self.name}: version {self.old} -> {_version(self.version)}"


@dataclass(frozen=True, kw_only=True)
class PlacePlan:
    """All that is to be done for one target in one region, in order.

    Attributes:
        image: The AMI where it is there already.
        version: The template version that is right already; None where one has to be made.
        notes: What a person should know and nobody will change.
    """

    place: Place
    actions: tuple[Action, ...]
    digest: str = ""
    built: str = ""
    image: str | None = None
    template: str | None = None
    version: int | None = None
    notes: tuple[str, ...] = ()


def _version(number: int | None) -> str:
    return "(the new one)" if number is None else str(number)


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:12]
