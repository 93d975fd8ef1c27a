"""What a spec wants on AWS now, with its rendered user data."""

from __future__ import annotations

from datetime import UTC, datetime

from amigen.plan.make import plan_images
from amigen.publish.plan import PublishRequest
from amigen.spec.load import existing_user_data, spec_digest
from amigen.spec.model import NodeImage
from amigen.userdata.make import user_data


def make_request(
    spec: NodeImage, path: str, *, set_default: bool = False, canary: bool = False, templates: bool = True
) -> PublishRequest:
    """The request of a spec.

    Args:
        path: Its file, to which `userData.merge` is relative.
        set_default, canary: Whether and how the default version moves.
        templates: Unset, launch templates and parameters are left alone.
    """
    merge = existing_user_data(spec, path) if templates else None
    return PublishRequest(
        spec=spec,
        digest=spec_digest(spec),
        user_data={plan.platform: user_data(plan, merge=merge) for plan in plan_images(spec)} if templates else {},
        now=datetime.now(UTC),
        templates=templates,
        set_default=set_default,
        canary=canary,
    )
