"""CloudFormation: a stack with a launch template per architecture.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-launchtemplate.html
"""

from __future__ import annotations

from typing import Any

from amigen.export.model import Export, logical, text
from amigen.spec.values import Architecture
from amigen.userdata.own import yaml_for_go


def files(export: Export) -> dict[str, bytes]:
    """`launch-templates.yaml`, for `aws cloudformation deploy`."""
    architectures = export.plan.architectures
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Launch templates of {export.spec.name} on {export.plan.platform}.",
        "Parameters": {logical("Image", each): _image(export, each) for each in architectures},
        "Resources": {logical("LaunchTemplate", each): _launch_template(export, each) for each in architectures},
        "Outputs": {
            logical(what, each): {"Value": value}
            for each in architectures
            for what, value in (
                ("Id", {"Ref": logical("LaunchTemplate", each)}),
                ("Version", {"Fn::GetAtt": [logical("LaunchTemplate", each), "LatestVersionNumber"]}),
            )
        },
    }
    return {"launch-templates.yaml": yaml_for_go(template)}


def _image(export: Export, architecture: Architecture) -> dict[str, str]:
    if fixed := export.fixed_ami(architecture):
        return {"Type": "AWS::EC2::Image::Id", "Default": fixed}
    return {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": export.parameter(architecture)}


def _launch_template(export: Export, architecture: Architecture) -> dict[str, Any]:
    own = export.spec.aws.launch_template
    tags = [{"Key": key, "Value": value} for key, value in export.tags(architecture).items()]
    data: dict[str, Any] = {
        "ImageId": {"Ref": logical("Image", architecture)},
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": own.hop_limit,
        },
        "BlockDeviceMappings": [{"DeviceName": export.fact.root_device, "Ebs": export.volume}],
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    if named := own.instance_types.get(architecture):
        data["InstanceType"] = named
    if own.iam_instance_profile:
        data["IamInstanceProfile"] = {"Name": own.iam_instance_profile}
    if own.security_group_ids:
        data["SecurityGroupIds"] = list(own.security_group_ids)
    data["UserData"] = {"Fn::Base64": text(export)}
    return {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateName": f"{export.name}-{architecture}", "LaunchTemplateData": data},
    }
