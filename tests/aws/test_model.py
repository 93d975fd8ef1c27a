"""What the lowest botocore that is declared has to know: it leaves out of an answer what it does not."""

from __future__ import annotations

import pytest

from amigen.aws import calls, model
from amigen.aws.session import Aws, AwsOptions
from amigen.base.errors import AwsError
from amigen.knowledge import AWS_REGIONS


@pytest.mark.parametrize(
    ("service", "shape"), [("autoscaling", "LaunchTemplateOverrides"), ("ec2", "FleetLaunchTemplateOverrides")]
)
def test_images_of_overrides_are_seen(service: str, shape: str) -> None:
    """An image that prune did not see there would be removed, and a group that is moved on would lose it."""
    assert "ImageId" in model.shape(service, shape).members


def test_every_list_of_the_account_answers_in_pages() -> None:
    """The calls whose answers decide what is removed."""
    for call in (calls.DESCRIBE_REFERENCES, calls.DESCRIBE_USAGE_REPORTS, calls.DESCRIBE_USAGE_ENTRIES):
        assert model.pagination(call.service, call.operation)["output_token"] == "NextToken"


@pytest.mark.parametrize("service", ["ssm", "ec2"])
def test_a_region_without_an_address_is_said_at_once(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer region than amigen's list is called; so is any where names are a proxy's to resolve."""
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda *_: pytest.fail("it was called"))
    call = {"ssm": calls.CANCEL_COMMAND, "ec2": calls.DESCRIBE_IMAGES}[service]
    aws = Aws(AwsOptions())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr("socket.getaddrinfo", _no_address)
    with pytest.raises(AwsError, match=f"no AWS region eu-nowhere-1: {service}.eu-nowhere-1") as caught:
        aws.call(call, "eu-nowhere-1", "nothing")
    assert caught.value.hint == "did you mean eu-north-1?"

    assert aws._client(service, AWS_REGIONS[0])
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.internal:3128")
    assert aws._client(service, "eu-nowhere-1")
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [()])
    assert aws._client(service, "eu-somewhere-2")


def _no_address(*_: object) -> None:
    raise OSError(-2, "Name or service not known")
