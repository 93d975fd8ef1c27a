"""All formats, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

from amigen.base.errors import InputError
from amigen.export import cloudformation, eksctl, image_builder, karpenter, ssm_document, terraform
from amigen.export.model import Export, ImageSource
from amigen.plan.model import ImagePlan
from amigen.render.artifacts import Artifact
from amigen.userdata.make import user_data

# https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
_CLUSTER = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
FormatName: TypeAlias = Literal["terraform", "karpenter", "eksctl", "cloudformation", "image-builder", "ssm-document"]


class Format(Struct, frozen=True, kw_only=True):
    """A format.

    Attributes:
        files: Path -> content, of one plan.
        images: Where the AMI may come from; the first is the default. Empty: no AMI is named.
        user_data: Whether it carries user data.
    """

    files: Callable[[Export], dict[str, bytes]]
    images: tuple[ImageSource, ...]
    user_data: bool = True


FORMATS: Mapping[FormatName, Format] = MappingProxyType(
    {
        "terraform": Format(files=terraform.files, images=("parameter", "record", "stock")),
        "karpenter": Format(files=karpenter.files, images=("tags", "parameter", "record", "stock")),
        # It takes no parameters of others, and no tags.
        "eksctl": Format(files=eksctl.files, images=("stock", "record")),
        "cloudformation": Format(files=cloudformation.files, images=("parameter", "record", "stock")),
        "image-builder": Format(files=image_builder.files, images=("stock",), user_data=False),
        "ssm-document": Format(files=ssm_document.files, images=(), user_data=False),
    }
)


def export_files(
    plan: ImagePlan,
    name: FormatName,
    *,
    image: ImageSource | None = None,
    amis: Mapping[str, str] | None = None,
    cluster: str = "",
    merge: bytes | None = None,
    joined: bool = False,
) -> tuple[Artifact, ...]:
    """The files of one format for one platform, sorted by path; the same input gives the same bytes.

    Args:
        image: Where the AMI comes from; None: the record if there are `amis`, else the format's default.
        amis: Architecture -> AMI id in the region of the spec, of a build record.
        cluster: Name of the cluster, where the spec does not join one.
        merge: Content of the file that `userData.merge` names, from `amigen.spec.load.existing_user_data`.
        joined: ssm-document: the nodes must have joined their cluster.

    Raises:
        InputError: No such format, or it cannot have what was asked for; says why and what can be.
        SizeError: User data, or a document, is larger than AWS takes.
    """
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}", f"known: {', '.join(FORMATS)}")
    if cluster and not _CLUSTER.fullmatch(cluster):
        raise InputError(f"{cluster!r} is not the name of an EKS cluster", "give letters, digits, - and _")
    if joined and name != "ssm-document":
        raise InputError(f"{name} does not check that nodes have joined their cluster", "leave out --joined")
    kind = FORMATS[name]
    default: ImageSource = kind.images[0] if kind.images else "stock"
    source: ImageSource = image or ("record" if amis else default)
    if kind.images and source not in kind.images:
        what = "--record" if source == "record" else f"--image {source}"
        hint = ", ".join("--record FILE" if each == "record" else f"--image {each}" for each in kind.images)
        raise InputError(f"{name} cannot take {what}", f"it takes: {hint}")
    document = user_data(plan, merge=merge) if kind.user_data else b""
    given = Export(plan=plan, user_data=document, image=source, amis=dict(amis or {}), cluster=cluster, joined=joined)
    found = kind.files(given)
    # User data may hold a file that is not for everybody, as in the rendered folder.
    private = kind.user_data and plan.has_private_files
    return tuple(Artifact(path=path, content=content, private=private) for path, content in sorted(found.items()))
