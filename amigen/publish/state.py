"""What stands on AWS, as values: read by `observe`, compared by `plan`, `drift`, `rollback` and `prune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amigen.base.moments import moment_of
from amigen.publish.names import Place, VersionLabel
from amigen.publish.record import ProvenImage


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot of an image, its device name there, and the size of the volume that it was made of."""

    id: str
    encrypted: bool = False
    device: str = ""
    gib: int = 0


@dataclass(frozen=True, kw_only=True)
class Image:
    """An AMI.

    Attributes:
        state: `available`, `pending`, `failed`, ... (EC2's ImageState).
        reason: Why it failed; empty otherwise.
        shared: Who may launch it: account ids and ARNs of organisations and units; None where nobody asked.
        deprecated, created, launched: RFC 3339 as EC2 says it; empty for never or unknown.
        protected: EC2 refuses to deregister it.
        public: Everybody may launch it.
    """

    id: str
    name: str
    state: str
    architecture: str
    root_device: str
    owner: str = ""
    created: str = ""
    reason: str = ""
    deprecated: str = ""
    launched: str = ""
    protected: bool = False
    public: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    shared: frozenset[str] | None = None
    snapshots_shared: frozenset[str] = frozenset()

    @property
    def root_gib(self) -> int:
        """Size of the root volume; 0 where EC2 does not say."""
        return next((each.gib for each in self.snapshots if each.device == self.root_device), 0)

    @property
    def created_at(self) -> datetime | None:
        """When it was made; None where EC2 does not say."""
        return moment_of(self.created)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a launch template; `data` has the shape of EC2's RequestLaunchTemplateData."""

    number: int
    data: dict[str, Any]
    description: str = ""

    @property
    def label(self) -> VersionLabel | None:
        """What amigen wrote on it; None where it was not amigen."""
        return VersionLabel.parse(self.description)

    @property
    def image(self) -> str:
        """The AMI: the label's where the template names a parameter."""
        named = str(self.data.get("ImageId", ""))
        return self.label.image if named.startswith("resolve:") and self.label else named


@dataclass(frozen=True, kw_only=True)
class Template:
    """A launch template with all its versions, oldest first."""

    id: str
    name: str
    default: int
    latest: int
    tags: dict[str, str]
    versions: tuple[Version, ...]

    def version(self, number: int) -> Version | None:
        """The version of this number; None where it does not exist."""
        return next((v for v in self.versions if v.number == number), None)

    @property
    def default_version(self) -> Version:
        """What `$Default` names; it cannot be deleted, so it is always there."""
        found = self.version(self.default)
        assert found is not None, f"{self.id} has no version {self.default}"
        return found


@dataclass(frozen=True, kw_only=True)
class PlaceState:
    """What stands in one region for one target.

    Attributes:
        proven, built: The image of the build, by its record and as it is, in the region of the build.
        image: It, in its region, or its copy here; None where there is none (yet).
        failed_copies: Copies of it that EC2 gave up; in the way of a new one by their name.
        parameter: The AMI that the SSM parameter names.
    """

    place: Place
    proven: ProvenImage
    built: Image
    image: Image | None
    failed_copies: tuple[Image, ...] = ()
    template: Template | None = None
    parameter: str | None = None


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An instance that is there: pending, running, stopping or stopped."""

    id: str
    image: str
    state: str
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> tuple[str, str] | None:
        """(launch template id, version) by the tags that EC2 itself sets; None where it was launched without.

        Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-tags.html
        """
        template = self.tags.get("aws:ec2launchtemplate:id")
        return (template, self.tags.get("aws:ec2launchtemplate:version", "")) if template else None
