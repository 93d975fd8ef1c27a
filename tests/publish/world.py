"""An account to publish in: moto behind the gateway, a spec, a build record with images that are really there."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import boto3

from amigen.aws.grants import Purpose
from amigen.base.errors import AmigenError
from amigen.publish.policy import Scope, policy
from amigen.spec.load import load_spec, spec_digest
from tests.outputs import require_valid
from tests.publish.authority import ACCOUNT, Authority
from tests.publish.stand_in import moto, zygote
from tests.publish.stand_in.gateway import Gateway

BUILD_REGION = "eu-central-1"
COPY_REGION = "eu-west-1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "never-shown-in-any-log",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: ipvs-nodes
kubernetesVersion: "1.34"
platforms: [{platforms}]
architectures: [{architectures}]
kubeProxy:
  mode: ipvs
  ipvs: {{scheduler: {scheduler}}}
aws:
  region: eu-central-1
  copyRegions: [{copy_regions}]
{aws}"""


def purposes_of(args: tuple[str, ...]) -> list[Purpose]:
    """What a command line needs a policy for; nothing for one that does not call AWS by itself."""
    if args[0] == "publish":
        found: list[Purpose] = ["publish"]
        found += ["canary"] if "--canary" in args else []
        return found + (["rollout", "rollback"] if "--rollout" in args else [])
    commands: dict[tuple[str, ...], Purpose] = {
        ("images", "prune"): "prune",
        ("images",): "images",
        ("rollback",): "rollback",
        ("fleet", "verify"): "fleet",
    }
    return [purpose for command, purpose in commands.items() if args[: len(command)] == command][:1]


@functools.cache
def _client(service: str, region: str, url: str) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=region, endpoint_url=url, **keys)


@dataclass(kw_only=True)
class Result:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(kw_only=True)
class World:
    """A fresh account per test.

    Attributes:
        roles: What the printed policy lets be passed; empty: what the spec names.
        parameters: Of others, which the printed policy lets be read.
        policed: Each command runs under the policy that is printed for it, unless the test has an authority of its own.
    """

    moto: str
    gateway: Gateway
    folder: Path
    policed: bool = False
    images: dict[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    _names: dict[str, str] = field(default_factory=dict)

    @property
    def spec_path(self) -> Path:
        return self.folder / "spec.yaml"

    @property
    def record_path(self) -> Path:
        return self.folder / "build" / "record.json"

    @property
    def ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = json.loads((self.folder / "build" / "publish-ledger.json").read_text())
        return ledger

    # -- setting up ----------------------------------------------------------------------------------------------

    def write_spec(
        self,
        aws: str = "",
        *,
        platforms: str = "al2023",
        architectures: str = "x86_64",
        scheduler: str = "rr",
        copy_regions: str = COPY_REGION,
    ) -> None:
        text = SPEC.format(
            platforms=platforms,
            architectures=architectures,
            scheduler=scheduler,
            copy_regions=copy_regions,
            aws="".join(f"  {line}\n" for line in aws.splitlines()),
        )
        self.spec_path.write_text(text)

    def build(
        self, *, tag: str = "1", tags: dict[str, str] | None = None, finished: str = "2026-11-20T10:00:00Z"
    ) -> None:
        """Images of the spec as a build would leave them, and their record."""
        spec = load_spec(self.spec_path)
        digest = spec_digest(spec)
        records = []
        for platform in spec.platforms:
            for architecture in spec.architectures:
                own = {"amigen/name": spec.name, "amigen/digest": digest, "amigen/platform": platform}
                image = self.make_image(f"{spec.name}-{platform}-{architecture}-{tag}", {**own, **(tags or {})})
                self.images[f"{platform}/{architecture}"] = image
                self._names[image] = f"<{platform}/{architecture} of build {tag}>"
                records.append(
                    {
                        "platform": platform,
                        "architecture": architecture,
                        "region": spec.aws.region,
                        "imageId": image,
                        "sourceImage": "ami-0000000000000base",
                        "verified": True,
                    }
                )
        self.record_path.parent.mkdir(exist_ok=True)
        document = {"specDigest": digest, "finishedAt": finished, "images": records}
        self.record_path.write_text(json.dumps(document))

    def make_image(self, name: str, tags: dict[str, str], region: str = BUILD_REGION) -> str:
        """An AMI straight at moto."""
        ec2 = self.client("ec2", region)
        instance = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        given = [{"Key": k, "Value": v} for k, v in (tags or {"made": "by hand"}).items()]
        specification = {"ResourceType": "image", "Tags": given}
        image: str = ec2.create_image(InstanceId=instance, Name=name, TagSpecifications=[specification])["ImageId"]
        # moto takes no tags for the snapshots.
        disks = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
        ec2.create_tags(Resources=[disk["Ebs"]["SnapshotId"] for disk in disks], Tags=given)
        ec2.terminate_instances(InstanceIds=[instance])
        return image

    def client(self, service: str, region: str = BUILD_REGION) -> Any:
        """A client straight at moto: not recorded, no faults."""
        return _client(service, region, self.moto)

    def reset(self) -> None:
        """The account as new; the gateway too."""
        moto.reset(self.moto)
        self.gateway.reset()
        for left in self.folder.glob("build/*"):
            left.unlink()

    # -- running -------------------------------------------------------------------------------------------------

    def amigen(self, *args: str, spec: bool = True) -> Result:
        """The command line in this process, through the gateway."""
        from amigen.cli import main

        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), self._under_its_policy(args):
            try:
                main(self.arguments(args, spec=spec))
            except SystemExit as end:
                code = int(end.code or 0)
        require_valid(args, out.getvalue())
        return Result(code=code, out=out.getvalue(), err=err.getvalue())

    @contextlib.contextmanager
    def _under_its_policy(self, args: tuple[str, ...]) -> Iterator[None]:
        purposes = purposes_of(args)
        if not self.policed or not purposes or self.gateway.authority is not None:
            yield
            return
        tag = next((args[n + 1].split("=", 1) for n, word in enumerate(args) if word == "--tag"), [])
        scope = Scope(
            account=ACCOUNT,
            tag=(tag[0], tag[1]) if len(tag) == 2 else None,
            roles=self.roles,
            parameters=self.parameters,
        )
        try:
            spec = load_spec(self.spec_path)
        except AmigenError:
            yield
            return
        self.gateway.authority = Authority(policy(spec, purposes, scope), self.gateway)
        try:
            yield
        finally:
            self.gateway.authority = None

    def arguments(self, args: tuple[str, ...], *, spec: bool = True) -> list[str]:
        parts = list(args)
        if spec:
            parts.append(str(self.spec_path))
        return parts

    def publish(self, *args: str) -> Result:
        return self.amigen("publish", "--record", str(self.record_path), "--yes", "--poll", "0", *args)

    def start(self, *args: str) -> BaseProcess:
        """The real command in a process of its own, with the stand-in for a node's checks."""
        return zygote.start(self.arguments(args), self.folder / "log")

    # -- looking -------------------------------------------------------------------------------------------------

    def end_state(self, *regions: str) -> dict[str, Any]:
        """What stands in the account, without the ids that differ from run to run."""
        names = dict(self._names)
        found = {region: self._region_state(region, names) for region in regions or (BUILD_REGION, COPY_REGION)}
        return {**found, "groups": self._groups()}

    def _groups(self) -> dict[str, Any]:
        """What the groups of the account run, and what is still going on there."""
        groups = self.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        model = self.gateway.model
        refreshes = [r["Status"] for history in model.refreshes.values() for r in history]
        updates = [u["status"] for u in model.updates.values()]
        return {
            "versions": {g["AutoScalingGroupName"]: g["LaunchTemplate"]["Version"] for g in groups},
            "instances": sorted(self.gateway.gaps.launched_from.values()),
            "nodegroups": {n["nodegroupName"]: n["launchTemplate"]["version"] for n in model.nodegroups.values()},
            "under way": [s for s in refreshes + updates if s in ("Pending", "InProgress", "Cancelling")],
        }

    def _region_state(self, region: str, names: dict[str, str]) -> dict[str, Any]:
        ec2 = self.client("ec2", region)
        images = sorted(ec2.describe_images(Owners=["self"])["Images"], key=lambda i: str(i["Name"]))
        for image in images:
            names.setdefault(image["ImageId"], f"<copy of {image['Name']}>")

        def named(text: str) -> str:
            for real, name in names.items():
                text = text.replace(real, name)
            return re.sub(r"\bami-[0-9a-f]{17}\b", "<an image that is gone>", text)

        templates = ec2.describe_launch_templates()["LaunchTemplates"]
        return {
            "images": [
                {
                    "name": image["Name"],
                    "tags": sorted((t["Key"], named(t["Value"])) for t in image.get("Tags", [])),
                    "permissions": ec2.describe_image_attribute(ImageId=image["ImageId"], Attribute="launchPermission")[
                        "LaunchPermissions"
                    ],
                    "deprecated": self.gateway.gaps.deprecated.get(image["ImageId"], ""),
                    "snapshots": len(image["BlockDeviceMappings"]),
                }
                for image in images
            ],
            "snapshots": len(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]),
            "instances": [
                i["State"]["Name"]
                for r in ec2.describe_instances()["Reservations"]
                for i in r["Instances"]
                if i["State"]["Name"] not in ("terminated", "shutting-down")
            ],
            "templates": {
                t["LaunchTemplateName"]: {
                    "default": t["DefaultVersionNumber"],
                    "tags": sorted((x["Key"], x["Value"]) for x in t.get("Tags", [])),
                    "versions": [
                        (v["VersionNumber"], named(json.dumps(v["LaunchTemplateData"], sort_keys=True, default=str)))
                        for v in ec2.describe_launch_template_versions(LaunchTemplateId=t["LaunchTemplateId"])[
                            "LaunchTemplateVersions"
                        ]
                    ],
                }
                for t in templates
            },
            "parameters": {
                p["Name"]: named(p["Value"])
                for p in self.client("ssm", region).get_parameters_by_path(Path="/amigen", Recursive=True)["Parameters"]
            },
        }

    def template(self, region: str = BUILD_REGION, name: str = "ipvs-nodes-al2023-x86_64") -> dict[str, Any]:
        """A launch template and the data of its versions."""
        ec2 = self.client("ec2", region)
        found = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0]
        versions = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
        return {**found, "versions": {v["VersionNumber"]: v for v in versions}}
