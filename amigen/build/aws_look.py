"""What a build asks AWS before Packer is started, and its dry run: base image, volume size, subnet."""

from __future__ import annotations

from amigen.aws import build_calls as calls
from amigen.aws.errors import CallError
from amigen.aws.session import Aws
from amigen.base.errors import InputError
from amigen.images.base import find_base
from amigen.plan.model import ImagePlan
from amigen.publish.names import Target
from amigen.publish.state import Image
from amigen.spec.model import NodeImage
from amigen.spec.values import Architecture


def find_usable_base(aws: Aws, plan: ImagePlan, architecture: Architecture) -> Image:
    """The base image that Packer is given, whose root volume fits into that of the spec.

    Raises:
        InputError: There is none, it is of another architecture, or its root volume is larger.
        AwsError: A call failed.
    """
    spec = plan.spec
    target = Target(name=spec.name, platform=plan.platform, architecture=architecture)
    base = find_base(aws, spec, target)
    size, wanted = base.root_gib, spec.aws.root_volume.size_gib
    if size > wanted:
        raise InputError(
            f"aws.rootVolume.sizeGiB is {wanted}, and the root volume of the base image {base.id} has {size} GiB",
            f"write at least {size}",
        )
    return base


def require_subnet(aws: Aws, spec: NodeImage) -> None:
    """The subnet of the spec is there, in the VPC of the spec, and has an address for the builder.

    A subnet of IPv6 alone has no IPv4 addresses to count
    (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Subnet.html).

    Raises:
        InputError: It is not so.
        AwsError: A call failed.
    """
    subnet, region = spec.aws.subnet_id, spec.aws.region
    if subnet is None:
        return
    try:
        found = aws.call(calls.DESCRIBE_SUBNETS, region, f"subnet {subnet}", SubnetIds=[subnet]).first("Subnets")
    except CallError as error:
        if error.code != "InvalidSubnetID.NotFound":
            raise
        raise InputError(f"there is no subnet {subnet} in {region}", "see aws.subnetId and aws.region") from None
    vpc = found.get("VpcId")
    if spec.aws.vpc_id and vpc != spec.aws.vpc_id:
        raise InputError(f"subnet {subnet} is in {vpc}, and aws.vpcId is {spec.aws.vpc_id}", "leave out aws.vpcId")
    if spec.aws.builder.ssh_interface == "ipv6" and not found.get("AssignIpv6AddressOnCreation"):
        raise InputError(
            f"subnet {subnet} does not assign IPv6 addresses, and aws.builder.sshInterface is ipv6",
            "name another one (aws.subnetId), or `aws ec2 modify-subnet-attribute --assign-ipv6-address-on-creation`",
        )
    if found.get("AvailableIpAddressCount") == 0 and not found.get("Ipv6Native"):
        raise InputError(f"subnet {subnet} has no free address", "name another one: aws.subnetId")
