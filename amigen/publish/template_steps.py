"""The steps that make a launch template and its versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amigen.aws import calls
from amigen.aws.answer import Fields
from amigen.aws.errors import CallError
from amigen.aws.grants import Call
from amigen.base.errors import AmigenError, AwsError, ConflictError, plain
from amigen.publish import names, observe
from amigen.publish.names import VersionLabel
from amigen.publish.promote import refuse_warned
from amigen.publish.steps import Action, Means, PlaceRun
from amigen.publish.template import as_tags, content_digest
from amigen.publish.wait import TooLongError

# A version that is not seen after this is gone.
_VERSION_SECONDS = 60.0
_TOKENS = 10


@dataclass(frozen=True, kw_only=True)
class _Creates(Action):
    """Creates a version, with its template or in it.

    Attributes:
        image: None for the copy that the same plan makes.
        digest: Digest of the spec.
        lines: The difference to the default version.
    """

    step = "template"
    name: str
    data: dict[str, Any] = field(repr=False)
    image: str | None
    digest: str

    def _content(self, run: PlaceRun) -> tuple[dict[str, Any], str]:
        """Data and label of the version."""
        resolved = str(self.data["ImageId"]).startswith("resolve:")
        data = self.data if resolved else {**self.data, "ImageId": run.ami}
        label = VersionLabel(spec=self.digest, content=content_digest(data, run.ami), image=run.ami)
        return data, label.text()

    def _create(
        self,
        means: Means,
        run: PlaceRun,
        call: Call,
        named: dict[str, Any],
        intent: tuple[object, ...],
        made: Callable[[Fields], tuple[str, int]],
        after: int = 0,
    ) -> None:
        """Create, and look that it is there.

        EC2 remembers a token longer than what was made with it: after somebody has deleted that, the same call answers
        with what is gone, and one with other content is refused
        (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html). Such a token is followed by the next
        one, which is the same for everybody who finds it used up.

        Args:
            run: Gets template, version and warning.
            named: The parameters of the call besides the version's own.
            intent: What the token is made of.
            made: Template and version that an answer is about.
            after: The newest version that the plan saw; 0 where there was no template.
        """
        place = run.place
        data, label = self._content(run)
        for generation in range(_TOKENS):
            token = names.token(*intent, *((generation,) if generation else ()))
            try:
                answer = means.aws.call(
                    call,
                    place.region,
                    f"launch template {self.name}",
                    **named,
                    VersionDescription=label,
                    LaunchTemplateData=data,
                    ClientToken=token,
                )
            except CallError as error:
                if error.code != "IdempotentParameterMismatch" or self._is_seen(means, run, after.__lt__):
                    raise self._told(error) from None
            else:
                template, version = made(answer)
                if self._is_seen(means, run, version.__eq__):
                    run.template, run.version, run.warning = template, version, _words(answer.get("Warning"))
                    if run.warning:
                        means.waiter.say(f"{place.key}: EC2 warns of version {version}: {run.warning}")
                    means.ledger.note(place.key, warning=f"{version}:{run.warning}" if run.warning else "")
                    return
            gone = f"what was made of {self.name} with this client token is gone; taking the next one"
            means.waiter.say(f"{place.key}: {gone}")
        raise AwsError(
            f"launch template {self.name} in {place.region}: {_TOKENS} client tokens are used up by what is gone",
            "find out who deletes its versions",
        )

    def _is_seen(self, means: Means, run: PlaceRun, wanted: Callable[[int], bool]) -> bool:
        """Whether such a version is there; it may take a moment until it is seen."""
        place = run.place

        def look() -> tuple[bool | None, str]:
            found = observe.find_template(means.aws, place.region, self.name)
            there = found is not None and any(wanted(version.number) for version in found.versions)
            return (True if there else None), "" if there else "not visible yet"

        try:
            return means.waiter.until(f"{place.key}: {self.name}", look, every=2, at_most=_VERSION_SECONDS)
        except TooLongError:
            return False

    def _told(self, error: CallError) -> AmigenError:
        """The loser of two publishers is told so."""
        if error.code in ("IdempotentParameterMismatch", "InvalidLaunchTemplateName.AlreadyExistsException"):
            return ConflictError(
                f"another publisher has just made the next version of launch template {self.name} ({error.code})",
                "look at what is there (`amigen images drift SPEC`), then run again: it starts from their version",
            )
        return error


@dataclass(frozen=True, kw_only=True)
class CreateTemplate(_Creates):
    """Make a launch template by one call: its name is unique, so that it cannot be made twice.

    Its first version is its default, EC2 knows no other way.
    """

    tags: dict[str, str]

    @property
    def title(self) -> str:
        return f"create launch template {self.name} (its version 1 is the default)"

    def do(self, means: Means, run: PlaceRun) -> None:
        tags = [{"ResourceType": "launch-template", "Tags": as_tags(self.tags)}]
        named = {"LaunchTemplateName": self.name, "TagSpecifications": tags}
        self._create(
            means,
            run,
            calls.CREATE_TEMPLATE,
            named,
            ("template", self.name, self._content(run)[1]),
            lambda answer: (answer["LaunchTemplate"]["LaunchTemplateId"], 1),
        )
        run.default = 1


@dataclass(frozen=True, kw_only=True)
class CreateVersion(_Creates):
    """Make a new version of a launch template.

    Attributes:
        after: The newest version when the plan was made: the client token is made of it, so that of two publishers who
            saw the same newest version only one can make the next.
    """

    template: str
    after: int
    default: int

    @property
    def title(self) -> str:
        return f"new version of launch template {self.name} ({self.template}), from version {self.default}"

    def do(self, means: Means, run: PlaceRun) -> None:
        self._create(
            means,
            run,
            calls.CREATE_TEMPLATE_VERSION,
            {"LaunchTemplateId": self.template},
            ("version", self.template, self.after),
            lambda answer: (self.template, int(answer["LaunchTemplateVersion"]["VersionNumber"])),
            self.after,
        )
        refuse_warned(means, run)


def _words(warning: Any) -> str:
    """ValidationWarning of EC2: what it could not validate, for a person."""
    found = [f"{each.get('Code', '')}: {each.get('Message', '')}" for each in (warning or {}).get("Errors", ())]
    return plain("; ".join(found))
