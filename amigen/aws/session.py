"""Clients of AWS, made the way every AWS tool makes them: profile, region, SSO, assumed role, endpoint URL."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import get_environ_proxies

from amigen.aws.answer import Fields, ask
from amigen.aws.errors import translate
from amigen.aws.grants import Call
from amigen.aws.model import loader, pagination
from amigen.base.errors import AwsError, InputError, RefusedError
from amigen.base.words import nearest
from amigen.knowledge import AWS_REGIONS

# What people expect of a tool that runs unattended; AWS_MAX_ATTEMPTS and the profile's max_attempts say otherwise.
_ATTEMPTS = 6
# Pages of one call: far more than an account has of anything.
_PAGES = 10_000


@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """Where and as whom to call; everything that is None comes from the environment and the profile.

    Attributes:
        profile: A profile of the shared configuration (keys, SSO, `role_arn` with `source_profile`, process).
        endpoint_url: Another address for all services, such as a local stand-in.
        role_arn: A role to assume on top of it.
        external_id: What the role's trust policy asks for; only with `role_arn`.
        connect_timeout, read_timeout: Seconds.
        patient: Slow down and try more often, where many ask side by side.
    """

    profile: str | None = None
    endpoint_url: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    connect_timeout: float = 10
    read_timeout: float = 60
    patient: bool = False


class Aws:
    """All calls to AWS go through here, each by an entry of `amigen.aws.calls`.

    Safe to share between threads: clients are made under a lock, and botocore's clients are thread-safe.
    """

    def __init__(self, options: AwsOptions | None = None) -> None:
        self._options = options or AwsOptions()
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def profile(self) -> str | None:
        """The profile that was chosen; None for that of the environment."""
        return self._options.profile

    def call(self, call: Call, region: str, what: str, **params: Any) -> Fields:
        """One call.

        Args:
            what: The resource in words, for the message of a failure.
            params: Parameters as botocore names them.

        Raises:
            AwsError: It failed, after the retries that make sense; names call, resource and way out.
                The answer is not of the documented form: also when a field is read that is not there.
        """
        try:
            client = self._client(call.service, region)
            return ask(client, call.operation, call.words(region, what), **params)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, call=call, region=region, what=what) from None

    def pages(self, call: Call, region: str, what: str, **params: Any) -> Iterator[Any]:
        """The items of all pages of a call that answers in pages, as botocore describes them.

        botocore's own paginator takes a page without its list for an empty one. The list is there in every answer of
        AWS, if only empty: without it the answer is none, and "nothing uses this image" would be concluded from the
        page of a proxy.
        """
        pages = pagination(call.service, call.operation)
        more: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            page = self.call(call, region, what, **params, **more)
            yield from page[pages["result_key"]]
            token = page.get(pages["output_token"])
            if not token:
                return
            if token in seen or len(seen) >= _PAGES:
                raise page.error(pages["output_token"], "goes on without end")
            seen.add(token)
            more = {pages["input_token"]: token}

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            if (service, region) not in self._clients:
                if self._session is None:
                    session = _session(self._options.profile)
                    if self._options.role_arn:
                        _assume(session, self._options, region)
                    # Not before: without the role it would call as somebody else.
                    self._session = session
                config = _config(self._session, self._options)
                try:
                    client = boto3.Session(botocore_session=self._session).client(
                        service, region_name=region, endpoint_url=self._options.endpoint_url, config=config
                    )
                except ValueError as error:
                    # botocore raises it for an invalid endpoint URL, from whatever source.
                    hint = "write it as https://HOST or http://HOST:PORT; see --endpoint-url and AWS_ENDPOINT_URL"
                    raise InputError(f"cannot call {service}: {error}", hint) from None
                if region not in AWS_REGIONS:
                    _require_address(client.meta.endpoint_url, region)
                self._clients[service, region] = client
            return self._clients[service, region]


def _require_address(url: str, region: str) -> None:
    """A region that is not known is newer than this amigen, or a slip: botocore would try the slip for a minute.

    Raises:
        AwsError: Its endpoint has no address.
    """
    host = urlsplit(url).hostname
    if get_environ_proxies(url):  # which resolves names by itself
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        near = nearest(region, AWS_REGIONS)
        hint = f"did you mean {near}?" if near else "`aws ec2 describe-regions --all-regions` lists them"
        raise AwsError(f"there is no AWS region {region}: {host} has no address", hint) from None


def _session(profile: str | None) -> Any:
    """A session of botocore that shares its loader with all others."""
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", loader())
    return session


def _config(session: Any, options: AwsOptions) -> Config:
    try:
        attempts = int(session.get_config_variable("max_attempts") or _ATTEMPTS)
    except ValueError as error:
        raise InputError(f"AWS_MAX_ATTEMPTS or max_attempts of the profile: {error}", "write a number") from None
    mode, more = ("adaptive", 5) if options.patient else ("standard", 0)
    return Config(
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        retries={"mode": mode, "total_max_attempts": attempts + more},
        user_agent_extra="amigen",
    )


def ec2_endpoint(region: str, *, profile: str | None, endpoint_url: str | None) -> str | None:
    """The address of EC2 that was asked for, be it by option, environment or profile; None: AWS's own.

    botocore finds it by itself, and Packer has to be told. Source:
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html

    Raises:
        InputError: It is not an address.
    """
    if endpoint_url:
        return endpoint_url
    session = _session(profile)
    try:
        found, own = (
            session.create_client(
                "ec2", region_name=region, config=Config(ignore_configured_endpoint_urls=ignored)
            ).meta.endpoint_url
            for ignored in (None, True)
        )
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"cannot call ec2: {error}", "see --profile, --endpoint-url and AWS_ENDPOINT_URL") from None
    return None if found == own else str(found)


def configured_region(profile: str | None) -> str | None:
    """The region of the environment or the profile, as AWS's tools take it; None where there is none.

    `AWS_REGION` is what the SDKs read, and the command line before `AWS_DEFAULT_REGION`; botocore knows only the other.
    Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    """
    try:
        found = botocore.session.Session(profile=profile).get_config_variable("region")
    except BotoCoreError:
        found = None  # a profile that is not there is told by the first call
    return os.environ.get("AWS_REGION") or found


def require_region(region: str, profile: str | None, file: str) -> str:
    """Whether the region of a spec that names none is the one that people expect.

    Such a spec has the same default on every machine, as its digest and all that is rendered have to be the same there.
    AWS's own tools would go to the region of the environment; where the two differ, nobody may guess.

    Returns:
        What to tell; empty where the environment says the same region.

    Raises:
        RefusedError: The environment or the profile says another.
    """
    configured = configured_region(profile)
    if configured and configured != region:
        raise RefusedError(
            f"{file} names no aws.region, so it is {region}; the environment or profile says {configured}",
            f"write the one that is meant into the spec: `aws: {{region: {configured}}}`",
        )
    missing = f"{file}: note: aws.region is not in the spec, nor a region in the environment: {region}"
    return "" if configured else missing


def _assume(session: Any, options: AwsOptions, region: str) -> None:
    """Let the session's credentials assume a role, renewed before they expire; in `region`, which need not be set."""
    source = session.get_credentials()
    if source is None:
        raise AwsError(
            f"no credentials to assume {options.role_arn} with",
            "set --profile or AWS_PROFILE, or log in (`aws sso login`)",
        )

    def create_client(service: str, **arguments: Any) -> Any:
        # STS stands at the same address as everything else.
        place = {"region_name": region, "endpoint_url": options.endpoint_url}
        return session.create_client(service, **{**place, **arguments})

    fetcher = AssumeRoleCredentialFetcher(
        client_creator=create_client,
        source_credentials=source,
        role_arn=options.role_arn,
        extra_args={"ExternalId": options.external_id} if options.external_id else {},
    )
    # botocore's own way of handing a session its credentials (`boto3.Session` does the same for keys).
    session._credentials = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
