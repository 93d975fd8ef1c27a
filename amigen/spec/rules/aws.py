"""What EC2 and Packer accept together. One idea: a function for each rule, none of which knows another."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from difflib import get_close_matches

from amigen import knowledge
from amigen.base.errors import Problem
from amigen.platforms import PLATFORMS
from amigen.spec.model import NodeImage, RootVolume
from amigen.spec.paths import key_path
from amigen.spec.rules.rule import not_of_spec, problem, rule, warning

_TAG_PREFIX = "amigen/"


@rule("platforms", "architectures")
def sources(spec: NodeImage) -> Iterator[Problem]:
    """A source AMI is named in exactly one way, for a platform of the spec."""
    for platform, source in spec.aws.source_amis.items():
        where = key_path("aws.sourceAmis", platform)
        yield from not_of_spec(spec, platform, where)
        given = [
            k for k, v in (("id", source.id), ("ssmParameter", source.ssm_parameter), ("filter", source.filter)) if v
        ]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield problem(where, f"needs exactly one of id, ssmParameter, filter; found {found}")
        if source.id and len(spec.architectures) > 1:
            message = "an AMI has one architecture, and the spec has several"
            yield problem(f"{where}.id", message, "use ssmParameter with {arch}, or filter")
        if source.ssm_parameter and set(re.findall(r"\{[^}]*\}?|\}", source.ssm_parameter)) - {"{arch}"}:
            yield problem(f"{where}.ssmParameter", "contains braces other than {arch}", "only {arch} is filled in")


@rule("architectures")
def instance_types(spec: NodeImage) -> Iterator[Problem]:
    """An instance type runs on the architecture that it is named for."""
    for path, types in (
        ("aws.instanceTypes", spec.aws.instance_types),
        ("aws.launchTemplate.instanceTypes", spec.aws.launch_template.instance_types),
        ("aws.builder.spot.instanceTypes", spec.aws.builder.spot.instance_types if spec.aws.builder.spot else {}),
    ):
        for architecture, named in types.items():
            where = key_path(path, architecture)
            if architecture not in spec.architectures:
                hint = f"architectures of this spec: {', '.join(spec.architectures)}"
                yield problem(where, f"{architecture} is not an architecture of this spec", hint)
                continue
            for instance_type in (named,) if isinstance(named, str) else named:
                if architecture != _architecture(instance_type):
                    yield problem(where, f"{instance_type} is {_architecture(instance_type)}")


def _architecture(instance_type: str) -> str:
    """Graviton families have a `g` right behind the generation (t4g, m7gd, im4gn, hpc7g, g5g), and the first was a1.

    Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html (processor families).
    """
    family = instance_type.split(".")[0]
    return "arm64" if family == "a1" or re.match(r"[a-z]+\d+g", family) else "x86_64"


@rule("aws.rootVolume")
def volume(spec: NodeImage) -> Iterator[Problem]:
    """IOPS and throughput belong to volume types."""
    root = spec.aws.root_volume
    if root.type in ("io1", "io2") and root.iops is None:
        yield problem("aws.rootVolume.iops", f"{root.type} needs iops", "set rootVolume.iops")
    yield from _limits(root)
    if root.type == "gp2" and root.iops is not None:
        yield problem("aws.rootVolume.iops", "gp2 does not support iops", "use gp3")
    if root.type != "gp3" and root.throughput is not None:
        yield problem("aws.rootVolume.throughput", f"{root.type} does not support throughput", "use gp3")


# Volume type -> least and most IOPS, and most IOPS for each GiB.
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
_IOPS = {"gp3": (3000, 80000, 500), "io1": (100, 64000, 50), "io2": (100, 256000, 1000)}
_GP3_IOPS = 3000
_VOLUME_TYPES = "https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html"


def _limits(root: RootVolume) -> Iterator[Problem]:
    """What EC2 refuses when the volume is made."""
    where = "aws.rootVolume.iops"
    if root.type in _IOPS and root.iops is not None:
        least, most, ratio = _IOPS[root.type]
        # The base IOPS of gp3 come with every size.
        by_size = max(ratio * root.size_gib, _GP3_IOPS if root.type == "gp3" else 0)
        if not least <= root.iops <= most:
            yield problem(where, f"{root.type} takes {least} to {most} IOPS, not {root.iops}", source=_VOLUME_TYPES)
        elif root.iops > by_size:
            message = (
                f"{root.type} takes at most {ratio} IOPS per GiB: {by_size} for {root.size_gib} GiB, not {root.iops}"
            )
            yield problem(where, message, "raise sizeGiB, or lower iops", _VOLUME_TYPES)
    iops = root.iops or _GP3_IOPS
    if root.type == "gp3" and root.throughput is not None and root.throughput * 4 > iops:
        message = f"gp3 takes at most 0.25 MiB/s per IOPS: {iops // 4} for {iops} IOPS, not {root.throughput}"
        hint = f"set rootVolume.iops to at least {root.throughput * 4}"
        yield problem("aws.rootVolume.throughput", message, hint, _VOLUME_TYPES)


@rule("aws.encryption", "aws.copyRegions")
def encryption(spec: NodeImage) -> Iterator[Problem]:
    """Keys fit regions, and a shared image can be read by those it is shared with."""
    keys, share = spec.aws.encryption, spec.aws.share
    if not keys.enabled and (keys.kms_key_id or keys.region_kms_key_ids):
        yield problem(
            "aws.encryption", "kmsKeyId is set but encryption is disabled", "set enabled: true, or remove the key"
        )
    if keys.enabled and share.public:
        yield problem(
            "aws.share.public",
            "an image with encrypted snapshots cannot be public",
            "set aws.encryption.enabled: false, or share with accounts and organizations",
            "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-intro.html",
        )
    if keys.enabled and not keys.kms_key_id and share.named:
        yield problem(
            "aws.share",
            "an image that is encrypted with the account's EBS key cannot be shared",
            "set aws.encryption.kmsKeyId to a key of your own, or encryption.enabled: false",
            "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/sharingamis-explicit.html",
        )
    for region in keys.region_kms_key_ids:
        if region not in spec.aws.copy_regions:
            yield problem(key_path("aws.encryption.regionKmsKeyIds", region), f"{region} is not among aws.copyRegions")
    key = keys.kms_key_id or ""
    if keys.enabled and key and not (key.startswith("alias/") or "mrk-" in key):
        for index, region in enumerate(spec.aws.copy_regions):
            if region not in keys.region_kms_key_ids:
                hint = "name its key in aws.encryption.regionKmsKeyIds, or use an alias or multi-region key"
                yield problem(f"aws.copyRegions[{index}]", f"the key {key} does not exist in {region}", hint)


@rule()
def known_regions(spec: NodeImage) -> Iterator[Problem]:
    """A region that AWS did not have is a slip, or newer than this list."""
    named = [("aws.region", spec.aws.region)]
    named += [(f"aws.copyRegions[{index}]", region) for index, region in enumerate(spec.aws.copy_regions)]
    for path, region in named:
        if region not in knowledge.AWS_REGIONS:
            near = get_close_matches(region, knowledge.AWS_REGIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else "see `aws ec2 describe-regions --all-regions`"
            yield warning(path, f"unknown AWS region {region} (as of November 2026)", hint)


# First parts of the names of regions in other partitions than `aws`
# (https://docs.aws.amazon.com/general/latest/gr/rande.html; botocore's endpoints.json).
_PARTITIONS = ("cn-", "us-gov-", "us-iso-", "us-isob-", "us-isof-", "eu-isoe-", "eusc-")


@rule("aws.region")
def regions(spec: NodeImage) -> Iterator[Problem]:
    """Copies are for other regions, of the same partition: nothing is copied from one into another."""
    of_build = _partition(spec.aws.region)
    for index, region in enumerate(spec.aws.copy_regions):
        where = f"aws.copyRegions[{index}]"
        if region == spec.aws.region:
            yield problem(where, f"{region} is the region of the build", "remove it")
        elif _partition(region) != of_build:
            message = f"{region} is in another partition than {spec.aws.region}: images cannot be copied there"
            yield problem(where, message, "use a separate spec for that partition")


@rule("platforms", "aws.baseImage", "aws.sourceAmis")
def image_owners(spec: NodeImage) -> Iterator[Problem]:
    """The account that publishes a distribution's images is another one in each partition."""
    partition = _partition(spec.aws.region)
    for index, platform in enumerate(spec.platforms):
        fact = PLATFORMS[platform]
        searched = not fact.ssm_plain and not (spec.aws.base_image == "eks" and fact.ssm_eks)
        if partition != "aws" and searched and platform not in spec.aws.source_amis:
            yield problem(
                f"platforms[{index}]",
                (
                    f"the images of {platform} are searched by their owner, account {fact.owner} of partition aws;"
                    f" its owner in the partition of {spec.aws.region} is not known"
                ),
                f"name the image, or its owner: aws.sourceAmis.{platform}",
            )


def _partition(region: str) -> str:
    return next((prefix for prefix in _PARTITIONS if region.startswith(prefix)), "aws")


@rule()
def vpc(spec: NodeImage) -> Iterator[Problem]:
    """Packer refuses a VPC without a subnet, unless it is the default one."""
    if spec.aws.vpc_id and not (spec.aws.subnet_id or spec.aws.builder.subnet_filter):
        yield warning(
            "aws.vpcId",
            "without aws.subnetId only the default VPC works: Packer refuses any other",
            "set aws.subnetId or aws.builder.subnetFilter",
            "https://developer.hashicorp.com/packer/integrations/hashicorp/amazon/latest/components/builder/ebs",
        )


@rule()
def tags(spec: NodeImage) -> Iterator[Problem]:
    """The tags of amigen itself are what drift and prune rely on."""
    for key in spec.aws.tags:
        if key.startswith(_TAG_PREFIX):
            yield problem(
                key_path("aws.tags", key), f"the prefix {_TAG_PREFIX} is reserved for amigen", "choose another key"
            )


@rule("aws.iamInstanceProfile")
def communicator(spec: NodeImage) -> Iterator[Problem]:
    """Session Manager works through the instance's role."""
    aws = spec.aws
    if aws.communicator == "session-manager" and not (aws.iam_instance_profile or aws.builder.instance_profile_policy):
        yield problem(
            "aws.communicator",
            "session-manager needs aws.iamInstanceProfile or aws.builder.instanceProfilePolicy",
            "a profile with the policy AmazonSSMManagedInstanceCore",
            "https://developer.hashicorp.com/packer/integrations/hashicorp/amazon",
        )


@rule("aws.securityGroupIds", "aws.communicator", "aws.builder")
def ssh_sources(spec: NodeImage) -> Iterator[Problem]:
    """They are address ranges, and the builder has a temporary security group that lets ssh in."""
    aws = spec.aws
    for index, cidr in enumerate(aws.ssh_source_cidrs):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            where = f"aws.sshSourceCidrs[{index}]"
            yield problem(where, f"is not an address range: {error}", "such as 192.0.2.0/24")
    other = "aws.securityGroupIds" if aws.security_group_ids else ""
    other = "aws.builder.securityGroupFilter" if aws.builder.security_group_filter else other
    other = "aws.communicator: session-manager" if aws.communicator == "session-manager" else other
    if aws.ssh_source_cidrs and other:
        yield problem(
            "aws.sshSourceCidrs",
            f"has no effect with {other}: there is no temporary security group for ssh",
            "remove one of the two",
        )


@rule()
def builder(spec: NodeImage) -> Iterator[Problem]:
    """What is found by filters is not also named; Session Manager has an address of its own."""
    aws, own = spec.aws, spec.aws.builder
    tunnel = "aws.communicator: session-manager"
    session_manager = aws.communicator == "session-manager"
    for key, other, both in (
        ("vpcFilter", "aws.vpcId", own.vpc_filter and aws.vpc_id),
        ("subnetFilter", "aws.subnetId", own.subnet_filter and aws.subnet_id),
        ("securityGroupFilter", "aws.securityGroupIds", own.security_group_filter and aws.security_group_ids),
        ("instanceProfilePolicy", "aws.iamInstanceProfile", own.instance_profile_policy and aws.iam_instance_profile),
        ("sshInterface", tunnel, own.ssh_interface and session_manager),
        ("bastion", tunnel, own.bastion and session_manager),
        ("acceptAnyHostKey", tunnel, own.accept_any_host_key and session_manager),
    ):
        if both:
            yield problem(f"aws.builder.{key}", f"{other} is set, too", "remove one of the two")
    for architecture in own.spot.instance_types if own.spot else ():
        if architecture in aws.instance_types:
            yield problem(
                key_path("aws.builder.spot.instanceTypes", architecture),
                f"{key_path('aws.instanceTypes', architecture)} is set, too",
                "remove one of the two: Packer takes one instance type, or several for spot",
            )
    if own.instance_profile_policy and "arm64" in spec.architectures:
        yield warning(
            "aws.builder.instanceProfilePolicy",
            "version 1.8.2 of Packer's amazon plugin fails with a temporary profile on arm64",
            "use aws.iamInstanceProfile, or a later version of the plugin",
            "https://github.com/hashicorp/packer-plugin-amazon/issues/675",
        )
    if aws.builder.vpc_filter and not (aws.builder.subnet_filter or aws.subnet_id):
        yield warning(
            "aws.builder.vpcFilter",
            "without a subnet only the default VPC works: Packer refuses any other",
            "set aws.builder.subnetFilter",
        )


# What {build} is replaced by: `20261123-121500-3f9a1c`.
_BUILD_LENGTH = 22


@rule("name", "platforms", "architectures")
def ami_name(spec: NodeImage) -> Iterator[Problem]:
    """EC2 takes each name once in a region, and names of 3 to 128 characters."""
    given = spec.aws.ami_name
    if given is None:
        return
    several = {"platform": spec.platforms, "architecture": spec.architectures}
    needed = ["build", *(word for word, values in several.items() if len(values) > 1)]
    lacking = [f"{{{word}}}" for word in needed if f"{{{word}}}" not in given]
    if lacking:
        yield problem(
            "aws.amiName",
            f"without {' and '.join(lacking)} two images would have one name",
            "EC2 takes each name once in a region",
        )
    longest = given.replace("{name}", spec.name).replace("{build}", "0" * _BUILD_LENGTH)
    for word, values in several.items():
        longest = longest.replace(f"{{{word}}}", max(values, key=len))
    if len(longest) > 128:
        yield problem("aws.amiName", f"would have {len(longest)} characters; EC2 takes at most 128", "make it shorter")


@rule("kubernetesVersion", "platforms", "join.eks", "aws.baseImage", "aws.sourceAmis")
def eks_images(spec: NodeImage) -> Iterator[Problem]:
    """The default source image exists for this Kubernetes version."""
    if spec.join.eks is not None:
        return  # amigen.spec.rules.join says it, with more reason
    for index, platform in enumerate(spec.platforms):
        minimum = PLATFORMS[platform].min_kubernetes
        if spec.aws.base_image == "plain" or platform in spec.aws.source_amis or minimum is None:
            continue
        if knowledge.version_tuple(spec.kubernetes_version) < minimum:
            yield warning(
                f"platforms[{index}]",
                f"the EKS images of {platform} start with Kubernetes {minimum[0]}.{minimum[1]}",
                "set aws.baseImage: plain, or a newer kubernetesVersion",
                PLATFORMS[platform].source,
            )


@rule("platforms", "aws.baseImage", "aws.sourceAmis")
def kernel_series(spec: NodeImage) -> Iterator[Problem]:
    """A plain source image that is looked up by a parameter may change its kernel series.

    Source: https://docs.aws.amazon.com/linux/al2023/ug/ec2.html, the parameters `al2023-ami-kernel-default-*`.
    """
    for platform in spec.platforms:
        plain = spec.aws.base_image == "plain" and platform not in spec.aws.source_amis
        if plain and "kernel-default" in (PLATFORMS[platform].ssm_plain or ""):
            yield warning(
                "aws.baseImage",
                f"the plain image of {platform} follows Amazon's default kernel, whose series changes",
                f"name an image of one series in aws.sourceAmis.{platform}",
            )
