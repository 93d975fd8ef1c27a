"""botocore's description of the services, read once per process: EC2's alone takes half a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.model import ServiceModel


@cache
def loader() -> Any:
    """The loader that all sessions share; it keeps what it has read."""
    return botocore.session.get_session().get_component("data_loader")


def pagination(service: str, operation: str) -> dict[str, str]:
    """How an operation answers in pages: `result_key`, `input_token` and `output_token`."""
    found: dict[str, str] = loader().load_service_model(service, "paginators-1")["pagination"][operation]
    return found


@cache
def shape(service: str, name: str) -> Any:
    """A shape of a service, such as EC2's RequestLaunchTemplateData."""
    return ServiceModel(loader().load_service_model(service, "service-2"), service).shape_for(name)


def knows(service: str, name: str, member: str) -> bool:
    """Whether this machine's botocore has heard of a member of a shape: what it has not, it leaves out of answers."""
    return member in shape(service, name).members


@cache
def partition_of(region: str) -> str:
    """The partition of a region as botocore knows them, such as `aws-cn`; `aws` for a region that it does not know."""
    session = botocore.session.Session()
    session.register_component("data_loader", loader())
    try:
        return str(session.get_partition_for_region(region))
    except BotoCoreError:
        return "aws"
