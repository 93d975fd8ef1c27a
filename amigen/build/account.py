"""In which account a build makes what it makes."""

from __future__ import annotations

from dataclasses import dataclass

from amigen.aws import build_calls as calls
from amigen.aws.session import Aws


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account, and how it is reached.

    Attributes:
        id: Twelve digits. Two stand-ins may have the same id; their addresses differ.
        profile: Of the shared configuration; None: as the environment says.
        endpoint_url: Another address of EC2 than AWS's own.
    """

    id: str
    profile: str | None = None
    endpoint_url: str | None = None

    @property
    def text(self) -> str:
        """Text for messages."""
        more = {"profile": self.profile, "endpoint": self.endpoint_url}
        said = ", ".join(f"{word} {value}" for word, value in more.items() if value)
        return f"account {self.id}" + (f" ({said})" if said else "")

    def is_that_of(self, other: Account) -> bool:
        """Whether both are one account, by whatever profile."""
        return (self.id, self.endpoint_url) == (other.id, other.endpoint_url)


def find_account(aws: Aws, region: str, *, profile: str | None, endpoint_url: str | None) -> Account:
    """The account of these credentials.

    Raises:
        AwsError: They are none.
    """
    answer = aws.call(calls.WHO_AM_I, region, "these credentials")
    return Account(id=answer["Account"], profile=profile, endpoint_url=endpoint_url)
