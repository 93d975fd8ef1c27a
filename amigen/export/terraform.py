"""Terraform: a call of terraform-aws-eks, launch templates of their own, and user data that is made at plan time.

Sources: terraform-aws-modules/terraform-aws-eks v21.19.0 variables.tf and modules/_user_data/main.tf (a managed node
group with an AMI of its own joins by the module's NodeConfig where `enable_bootstrap_user_data` is set; with `CUSTOM`
the user data is a template file, in which `${` and `%{` are escaped); the program of `external` prints JSON of strings
(https://registry.terraform.io/providers/hashicorp/external/latest/docs/data-sources/external).
"""

from __future__ import annotations

import json
import re
from typing import Any

from amigen.base.templates import render
from amigen.base.version import __version__
from amigen.export.model import Export, text
from amigen.render.packer import formatted
from amigen.spec.values import Architecture
from amigen.userdata.make import part_list

_AMI_TYPES: dict[Architecture, str] = {"x86_64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}


def files(export: Export) -> dict[str, bytes]:
    """Three folders, each a configuration by itself: `eks-module`, `launch-template` and `external`.

    The first is left out where no EKS image of the platform exists, or where nothing would join its nodes.

    Raises:
        InputError: An AMI cannot be named.
    """
    user_data_file = "user-data.mime" if export.user_data.startswith(b"MIME-Version") else "user-data.sh"
    context = _context(export) | {"user_data_file": user_data_file}
    found = {
        "launch-template/main.tf": _hcl("launch-template", context),
        f"launch-template/{user_data_file}": export.user_data,
        "external/main.tf": _hcl("external", context),
    }
    if export.by_nodeadm:
        parts = json.dumps(part_list(export.user_data), indent=2, ensure_ascii=False).encode() + b"\n"
        found["eks-module/user-data.parts.json"] = parts
    elif export.fact.joins_by and export.spec.join.eks:
        found["eks-module/user-data.tftpl"] = escaped(text(export)).encode()
    else:
        return found
    return found | {"eks-module/main.tf": _hcl("eks-module", _of_module(export, context))}


def escaped(document: str) -> str:
    """A document for `templatefile`, which reads `${` and `%{` as its own.

    Source: https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences-1
    """
    return document.replace("${", "$${").replace("%{", "%%{")


def _of_module(export: Export, context: dict[str, Any]) -> dict[str, Any]:
    """As EKS picks its own image where none is named, the module needs no parameter for it."""
    if export.image != "stock" or not export.by_nodeadm:
        return context
    return context | {"images": [{**image, "parameter": None} for image in context["images"]]}


def _hcl(name: str, context: dict[str, Any]) -> bytes:
    return formatted(render("templates", f"terraform/{name}.tf.jinja", **context)).encode()


def _context(export: Export) -> dict[str, Any]:
    spec, own = export.spec, export.spec.aws.launch_template
    return {
        "title": export.fact.title,
        "mode": spec.kube_proxy.mode,
        "version": __version__,
        "platform": export.plan.platform,
        "kubernetes_version": spec.kubernetes_version,
        "kube_proxy": export.kube_proxy,
        "cluster": export.cluster or (spec.join.eks.name if spec.join.eks else ""),
        "nodeadm": export.by_nodeadm,
        "images": [_image(export, architecture) for architecture in export.plan.architectures],
        "root_device": export.fact.root_device,
        "hop_limit": own.hop_limit,
        "profile": own.iam_instance_profile,
        "security_group_ids": own.security_group_ids,
        "volume": [(_snake(key), value) for key, value in export.volume.items()],
    }


def _image(export: Export, architecture: Architecture) -> dict[str, Any]:
    fixed = export.fixed_ami(architecture)
    return {
        "arch": architecture,
        "name": f"{export.name}-{architecture}",
        "ami": fixed,
        "parameter": None if fixed else export.parameter(architecture),
        "ami_type": _AMI_TYPES[architecture],
        "named_type": export.spec.aws.launch_template.instance_types.get(architecture),
        "instance_type": export.instance_type(architecture),
        "tags": list(export.tags(architecture).items()),
    }


def _snake(name: str) -> str:
    """`VolumeSize` -> `volume_size`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
