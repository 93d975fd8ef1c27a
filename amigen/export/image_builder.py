"""EC2 Image Builder: a stack with three components, and a recipe per architecture.

One component runs the script that Packer would run and restarts the builder; one checks the builder, and one an
instance of the new image. Image Builder's own clean-up takes the place of amigen's.

Sources: https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-use-documents.html (the document of a component),
https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_CreateComponent.html (at most 16,000 characters).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from amigen.base.errors import SizeError
from amigen.checks.cloud_init import CloudInitOnceCheck
from amigen.checks.model import Check
from amigen.checks.unit import NoFailedUnitCheck
from amigen.export.model import Export, logical
from amigen.export.ssm_document import check_script
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.values import Architecture
from amigen.userdata import mime
from amigen.userdata.mime import Part
from amigen.userdata.own import yaml_for_go
from amigen.userdata.packed import pack

LIMIT = 16_000


def files(export: Export) -> dict[str, bytes]:
    """`image-builder.yaml`, for `aws cloudformation deploy`.

    Raises:
        SizeError: A component is larger than Image Builder takes.
        InputError: No SSM parameter names the source AMI.
    """
    documents = component_documents(export)
    data = {key: _data(each) for key, each in documents.items()}
    version = _version(export)
    recipes = {
        logical("Recipe", each): _recipe(export, each, version, tuple(documents)) for each in export.plan.architectures
    }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"EC2 Image Builder components and recipes of {export.spec.name} on {export.plan.platform}.",
        "Resources": {**{key: _component(documents[key], data[key], version) for key in documents}, **recipes},
    }
    return {"image-builder.yaml": yaml_for_go(template)}


def component_documents(export: Export) -> dict[str, dict[str, Any]]:
    """Logical id -> the document of the component."""
    script = bootstrap_script(export.plan, user_data=False)
    restart = {"name": "restart", "action": "Reboot", "onFailure": "Abort", "maxAttempts": 1, "inputs": {}}
    checks = [_bash("checks", _checks(export), seconds=600)]
    steps = {
        "Build": ("build", "Makes a node of", [_bash("bootstrap", script, seconds=3600), restart]),
        "Validate": ("validate", "Checks the builder of", checks),
        # A component that has this phase alone is a test component.
        "Test": ("test", "Checks an image of", checks),
    }
    return {
        logical_id: {
            "name": f"{export.name}-{phase}".replace(".", "-"),
            "description": f"{verb} {export.spec.name} on {export.plan.platform}.",
            "schemaVersion": 1.0,
            "phases": [{"name": phase, "steps": done}],
        }
        for logical_id, (phase, verb, done) in steps.items()
    }


def _bash(name: str, script: str, *, seconds: int) -> dict[str, Any]:
    # Packed: a component is small, and AWSTOE takes `{{` in a command for a variable of its own.
    packed = pack(Part(type=mime.SHELL, content=script.encode(), filename=f"{name}.sh", origin="export")).content
    return {
        "name": name,
        "action": "ExecuteBash",
        "onFailure": "Abort",
        "timeoutSeconds": seconds,
        "inputs": {"commands": [packed.decode()]},
    }


def _checks(export: Export) -> str:
    """The checks of a machine that has no user data of the spec, and joins no cluster."""
    besides: tuple[type[Check], ...] = (CloudInitOnceCheck,)
    if export.fact.join_units:
        besides = (*besides, NoFailedUnitCheck)
    return check_script(export.plan, besides=besides)


def _data(document: dict[str, Any]) -> str:
    data = yaml_for_go(document).decode()
    if len(data) > LIMIT:
        # YAML, too, and without the indentation of each line.
        data = json.dumps(document)
    if len(data) > LIMIT:
        raise SizeError(
            f"the component {document['name']} has {len(data)} characters, and Image Builder takes {LIMIT}",
            "take large files and hooks out of the spec, or build with `amigen build --target aws`",
        )
    return data


def _version(export: Export) -> str:
    """A version that no other content has: components and recipes of one version cannot be changed."""
    script = bootstrap_script(export.plan, user_data=False)
    parts = (script, _checks(export), str(export.volume), str(export.tags()))
    return f"1.0.{int(hashlib.sha256(''.join(parts).encode()).hexdigest()[:7], 16)}"


def _component(document: dict[str, Any], data: str, version: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ImageBuilder::Component",
        "Properties": {
            "Name": document["name"],
            "Description": document["description"],
            "Platform": "Linux",
            "Version": version,
            "Data": data,
        },
    }


def _recipe(export: Export, architecture: Architecture, version: str, components: tuple[str, ...]) -> dict[str, Any]:
    return {
        "Type": "AWS::ImageBuilder::ImageRecipe",
        "Properties": {
            "Name": f"{export.name}-{architecture}".replace(".", "-"),
            "Version": version,
            "ParentImage": export.source(architecture).image or f"ssm:{export.parameter(architecture)}",
            "Components": [{"ComponentArn": {"Fn::GetAtt": [each, "Arn"]}} for each in components],
            "BlockDeviceMappings": [{"DeviceName": export.fact.root_device, "Ebs": export.volume}],
            "Tags": export.tags(architecture),
        },
    }
