"""The Packer files of a plan, for Packer 1.7 and later. Pure: the same plan gives the same text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from amigen.base.templates import render
from amigen.base.version import __version__
from amigen.plan.model import ImagePlan
from amigen.plan.source import source_of
from amigen.platforms import PLATFORMS
from amigen.spec.values import Architecture

# From the versions that the tests build with (tests/real/tools), within their major version.
# https://github.com/hashicorp/packer-plugin-amazon, https://github.com/hashicorp/packer-plugin-qemu
AMAZON_PLUGIN = ">= 1.8.2, < 2.0.0"
QEMU_PLUGIN = ">= 1.0.9, < 2.0.0"
# Of builders and nodes, where the spec names none. The smallest that EKS documents for nodes of either architecture.
INSTANCE_TYPES: dict[Architecture, str] = {"x86_64": "t3.medium", "arm64": "t4g.medium"}
# The baseline of gp3: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
_GP3_IOPS, _GP3_THROUGHPUT = 3000, 125
# Volume type -> most IOPS, and most for each GiB (0: not looked at); EC2 takes more of io2 and gp3 by now.
# packer-plugin-amazon 1.8.2, builder/common/block_device.go.
_PACKER_IOPS = {"gp3": (16000, 0), "io1": (64000, 50), "io2": (64000, 500)}
_PACKER_THROUGHPUT = 1000


def packer_files(plan: ImagePlan) -> dict[str, str]:
    """Path below the platform's `packer/` folder -> text."""
    return {
        "aws/plugins.pkr.hcl": _text("aws/plugins.pkr.hcl.jinja", plugin=AMAZON_PLUGIN),
        AWS_IMAGE: _aws(plan),
        "local/plugins.pkr.hcl": _text("local/plugins.pkr.hcl.jinja", plugin=QEMU_PLUGIN),
        "local/image.pkr.hcl": _local(plan),
    }


AWS_IMAGE = "aws/image.pkr.hcl"


def image_tags(plan: ImagePlan) -> dict[str, str]:
    """The tags of the image, its snapshots and its builder: the spec's, and what they are. Not yet that of success."""
    own = {"amigen/name": plan.spec.name, "amigen/platform": plan.platform, "amigen/digest": plan.digest}
    return {**plan.spec.aws.tags, **own}


def _aws(plan: ImagePlan) -> str:
    spec, fact = plan.spec, PLATFORMS[plan.platform]
    aws = spec.aws
    return _text(
        "aws/image.pkr.hcl.jinja",
        **_common(plan),
        aws=aws,
        images=[_source(plan, architecture) for architecture in plan.architectures],
        deprecate_hours=aws.deprecate_after_days * 24 if aws.deprecate_after_days else None,
        description=f"{fact.title} for kube-proxy in {spec.kube_proxy.mode} mode, Kubernetes {spec.kubernetes_version}",
        tags=sorted(image_tags(plan).items()),
        root_device=fact.root_device,
        volume=_volume(plan),
    )


def _local(plan: ImagePlan) -> str:
    local = plan.spec.local
    # The template is for this architecture; `amigen build` sets another one's QEMU by the variables.
    arm = plan.architectures == ("arm64",)
    return _text(
        "local/image.pkr.hcl.jinja",
        **_common(plan) | {"user": PLATFORMS[plan.platform].local_user},
        disk_gib=local.disk_gib,
        memory_mib=local.memory_mib,
        cpus=local.cpus,
        qemu_binary="qemu-system-aarch64" if arm else "qemu-system-x86_64",
        machine_type="virt" if arm else "q35",
    )


def _common(plan: ImagePlan) -> dict[str, Any]:
    fact = PLATFORMS[plan.platform]
    return {"title": fact.title, "mode": plan.spec.kube_proxy.mode, "version": __version__, "user": fact.login_user}


def _volume(plan: ImagePlan) -> dict[str, Any]:
    """The volume of the builder and of the AMI, as far as Packer takes it; launch templates have all of the spec."""
    volume = plan.spec.aws.root_volume
    most, by_size = _PACKER_IOPS.get(volume.type, (0, 0))
    return {
        "type": volume.type,
        "size": volume.size_gib,
        "iops": min(volume.iops or _GP3_IOPS, most, by_size * volume.size_gib or most),
        "throughput": min(volume.throughput or _GP3_THROUGHPUT, _PACKER_THROUGHPUT) if volume.type == "gp3" else None,
    }


def _source(plan: ImagePlan, architecture: Architecture) -> dict[str, Any]:
    """One architecture: names, instance type, and exactly one of `id`, `parameter`, `filter`."""
    spec = plan.spec
    source = source_of(spec, plan.platform, architecture)
    return {
        "arch": architecture,
        "name": f"{spec.name}-{plan.platform}-{architecture}",
        "ami_name": _ami_name(plan, architecture),
        "instance_type": spec.aws.instance_types.get(architecture, INSTANCE_TYPES[architecture]),
        "spot_types": spec.aws.builder.spot.instance_types.get(architecture) if spec.aws.builder.spot else None,
        "id": source.image or None,
        "parameter": source.parameter or None,
        "filter": source.name_filter or None,
        "owners": source.owners,
    }


def _ami_name(plan: ImagePlan, architecture: Architecture) -> list[str]:
    """The parts of the AMI's name, between which the id of the build stands."""
    name = plan.spec.aws.ami_name or "{name}-{platform}-{architecture}-{build}"
    values = {"name": plan.spec.name, "platform": plan.platform, "architecture": architecture}
    for word, value in values.items():
        name = name.replace(f"{{{word}}}", value)
    return name.split("{build}")


def _text(template: str, **context: object) -> str:
    return formatted(render("packer", template, **context))


def formatted(hcl: str) -> str:
    """HCL as `packer fmt` and `terraform fmt` have it, of text that is indented right already."""
    return "\n".join(_aligned(_tidy(hcl))) + "\n"


def _tidy(text: str) -> Iterator[str]:
    """Without empty lines at the start, after `{`, before `}`, or in a row."""
    previous = ""
    lines = text.strip().splitlines()
    for number, line in enumerate(lines):
        if not line.strip():
            following = next((later for later in lines[number + 1 :] if later.strip()), "")
            if previous.endswith("{") or not previous.strip() or following.strip() == "}":
                continue
        yield line.rstrip()
        previous = line


_ATTRIBUTE = re.compile(r'(?P<key>\s+(?:[A-Za-z_][A-Za-z0-9_]*|"[^"]*")) *= (?P<value>.*)')


def _aligned(lines: Iterator[str]) -> Iterator[str]:
    """`=` under `=` in neighbouring lines, as `packer fmt` has it."""
    group: list[tuple[str, str]] = []
    for line in lines:
        match = _ATTRIBUTE.fullmatch(line)
        # A value that goes on in the next lines stands alone.
        if match and not match["value"].endswith(("{", "[")):
            group.append((match["key"], match["value"]))
            continue
        yield from _group(group)
        group = []
        yield line
    yield from _group(group)


def _group(group: list[tuple[str, str]]) -> Iterator[str]:
    width = max((len(key) for key, _ in group), default=0)
    for key, value in group:
        yield f"{key:<{width}} = {value}"
