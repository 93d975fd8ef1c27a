"""How a canary is launched: as its template says, with what the template leaves open. Pure."""

from __future__ import annotations

from typing import Any

from amigen.aws import model
from amigen.plan.model import ImagePlan
from amigen.publish import names
from amigen.publish.names import Place
from amigen.publish.template import as_tags, cut, tagged_at_launch
from amigen.render.packer import INSTANCE_TYPES


def launch_params(
    plan: ImagePlan,
    place: Place,
    *,
    template: str,
    version: int,
    data: dict[str, Any],
    image: str,
    mark: str,
    subnet: str | None,
) -> dict[str, Any]:
    """Parameters of RunInstances, but for the client token.

    Args:
        template, version: What is launched.
        data: Of the template version, as EC2 answers with it.
        image: The AMI of the version.
        mark: What the canary's tag says.
        subnet: Where the caller wants it; None for the builder's subnet, or as EC2 chooses.
    """
    spec, arch = plan.spec.aws, place.target.architecture
    tags = as_tags({**spec.tags, **place.target.tags, names.TAG_DIGEST: plan.digest, names.TAG_CANARY: mark})
    params: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": template, "Version": str(version)},
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in tagged_at_launch(data)],
    }
    if spec.launch_template.resolve_ssm_parameter:
        params["ImageId"] = image  # the parameter moves only after this
    if not (data.get("InstanceType") or data.get("InstanceRequirements")):
        # The template leaves the type to the node group.
        params["InstanceType"] = spec.instance_types.get(arch, INSTANCE_TYPES[arch])
    if spec.iam_instance_profile and not data.get("IamInstanceProfile"):
        params["IamInstanceProfile"] = {"Name": spec.iam_instance_profile}
    own = spec.subnet_id if place.region == spec.region else None
    return {**params, **_subnet(data, subnet, own)}


def _subnet(data: dict[str, Any], asked: str | None, own: str | None) -> dict[str, Any]:
    """Where to launch: beside network interfaces EC2 takes no subnet, it belongs into the first of them.

    All of them are sent, as the template has them: so it is the same whether EC2 puts what a request says in their
    place or beside them. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
    (SubnetId: "If you specify a network interface, you must specify any subnets as part of the network interface").
    """
    subnet = asked or own
    if not subnet:
        return {}
    shape = model.shape("ec2", "InstanceNetworkInterfaceSpecification")
    interfaces: list[dict[str, Any]] = [cut(each, shape) for each in data.get("NetworkInterfaces", ())]
    if not interfaces:
        return {"SubnetId": subnet}
    first = min(interfaces, key=lambda each: int(each.get("DeviceIndex", 0)))
    if first.get("NetworkInterfaceId") or (first.get("SubnetId") and not asked):
        return {}
    return {"NetworkInterfaces": [{**each, "SubnetId": subnet} if each is first else each for each in interfaces]}
