"""What AWS's errors mean for the person who sees them: the call, the resource, and the way out."""

from __future__ import annotations

import re
from typing import Any

from amigen.aws.grants import Call
from amigen.base.errors import AwsError, plain

_LOG_IN = "renew them: `aws sso login`, or new keys; then run the same command again, it goes on where it stopped"
# Of a message: an encoded authorization message is as long as this (sts:DecodeAuthorizationMessage takes it).
_LONGEST = 10_240
_AGAIN = "run the same command again: it goes on where it stopped"
_POLICY = "`amigen iam-policy SPEC` prints the policy that is needed"

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_NOT_ACCEPTED = ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch")
_RATE = ("RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException")
_FAULT = ("InternalError", "InternalFailure", "ServiceUnavailable", "InternalServerError", "Unavailable")
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")

# Error code -> way out. Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
_WAYS_OUT: dict[str, str] = {
    **dict.fromkeys(_EXPIRED, f"the credentials have expired; {_LOG_IN}"),
    **dict.fromkeys(
        _NOT_ACCEPTED,
        "AWS does not accept the credentials: check `aws sts get-caller-identity` and this machine's clock, and whether"
        " the account has enabled the region (`aws account list-regions`)",
    ),
    **dict.fromkeys(_DENIED, f"the caller may not do this: {_POLICY}"),
    **dict.fromkeys(_RATE, f"AWS limits the rate of calls, also after several tries; wait a minute, then {_AGAIN}"),
    **dict.fromkeys(_FAULT, f"a fault inside AWS, also after several tries; {_AGAIN}"),
    "OptInRequired": "the account has not opted in to this region or service",
    "ResourceLimitExceeded": "a quota is used up: ask for more in Service Quotas, or `amigen images prune`",
    "ImageQuotaExceeded": "the region's quota of images is used up: `amigen images prune`",
    "SnapshotLimitExceeded": "the region's quota of snapshots is used up: `amigen images prune`",
    "InvalidKmsKey.InvalidState": "the KMS key is disabled or deleted; see aws.encryption in the spec",
    "ParameterNotFound": "there is no such parameter in this region",
}


class CallError(AwsError):
    """An AWS call that failed, with its code for code that knows what to do about it."""

    def __init__(self, message: str, hint: str, *, code: str, call: Call) -> None:
        super().__init__(message, hint)
        self.code = code
        self.call = call

    @property
    def denied(self) -> bool:
        """The caller may not do this."""
        return self.code in _DENIED

    @property
    def concerns_all(self) -> bool:
        """It would be the same with any other resource: credentials, rate, AWS itself, no answer at all.

        Such a call may succeed later, and where there was no answer, it may have succeeded.
        """
        # botocore's own errors (timeouts, connections, credentials) go by their class.
        return self.code in (*_EXPIRED, *_NOT_ACCEPTED, *_RATE, *_FAULT) or self.code.endswith("Error")


def translate(error: Exception, *, call: Call, region: str, what: str) -> CallError:
    """A botocore error as one sentence that names the call, the resource and the way out; it never holds a secret."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    details = response.get("Error") or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(details.get("Code") or type(error).__name__)
    said = plain(str(details.get("Message") or error))[:_LONGEST]
    where = call.words(region, what)
    hint = (_explicit_deny(said) if code in _DENIED else "") or _WAYS_OUT.get(code) or _by_kind(code, status)
    return CallError(f"{plain(where)} failed: {plain(code)[:100]}: {said}", hint, code=code, call=call)


def _explicit_deny(said: str) -> str:
    """The way out of a denial that no policy of the caller can lift; empty for any other.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html (access denied messages)
    """
    found = re.search(r"with an explicit deny in an? ([a-z -]+?) ?policy", said)
    if not found:
        return ""
    kind = found[1]
    who = "whoever manages the organization" if kind in ("service control", "resource control") else "its owner"
    return f"an explicit deny in a {kind} policy: no policy of the caller can allow it; ask {who}"


def _by_kind(code: str, status: int) -> str:
    """The way out where AWS's answer has no code of ours, or there was no answer at all."""
    if code in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return "no credentials: set --profile or AWS_PROFILE, or log in (`aws sso login`)"
    if code in ("SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError"):
        return "log in: `aws sso login`"
    if code in ("ProfileNotFound", "InvalidConfigError"):
        return "see ~/.aws/config, or choose another with --profile"
    if code.endswith(
        ("TimeoutError", "ConnectionError", "ConnectionClosedError", "ProxyConnectionError", "HTTPClientError")
    ):
        return f"check the network, the proxy and --endpoint-url; then {_AGAIN}"
    if status >= 500:
        return f"a fault inside AWS, also after several tries; {_AGAIN}"
    return f"what AWS says above names the cause; when it is solved, {_AGAIN}"
