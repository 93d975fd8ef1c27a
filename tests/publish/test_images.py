"""`amigen images`, `amigen rollback`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.publish.groups import launch
from tests.publish.stand_in.wire import Request, Response, read_response, write_response
from tests.publish.world import BUILD_REGION, COPY_REGION, World

EKS = "/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"


def generations(world: World, count: int) -> list[str]:
    """So many builds, each published as the default, each a year older than the next."""
    images = []
    for number in range(count):
        world.write_spec(scheduler=("rr", "sed", "nq", "wrr")[number])
        world.build(tag=str(number))
        assert world.publish("--set-default").code == 0
        images.append(world.images["al2023/x86_64"])
    for region in (BUILD_REGION, COPY_REGION):
        for image in world.client("ec2", region).describe_images(Owners=["self"])["Images"]:
            number = int(image["Name"][-1])
            world.gateway.gaps.image_dates[image["ImageId"]] = f"{2020 + number}-01-01T00:00:00.000Z"
    return images


def own(world: World, region: str = BUILD_REGION) -> list[str]:
    return [i["ImageId"] for i in world.client("ec2", region).describe_images(Owners=["self"])["Images"]]


# -- base --------------------------------------------------------------------------------------------------------------


def _bases(world: World, found: str, used: str | None) -> None:
    """The parameter names an image of this date; the last build used one of that date, or one that is gone."""
    world.write_spec()
    base, last = world.make_image("eks-node-1.34-v2", {}), world.make_image("eks-node-1.34-v1", {})
    world.gateway.gaps.image_dates |= {base: found, last: used or found}
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = base
    world.build(tags={"amigen/source-ami": last})
    document = json.loads(world.record_path.read_text())
    document["images"][0]["sourceImage"] = last
    world.record_path.write_text(json.dumps(document))
    assert world.publish("--set-default").code == 0
    if used is None:
        world.client("ec2").deregister_image(ImageId=last)


def test_base_says_age_and_whether_the_last_build_is_behind(world: World) -> None:
    made = datetime.now(UTC) - timedelta(days=10, hours=1)
    _bases(world, made.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "2026-01-01T00:00:00.000Z")

    result = world.amigen("images", "base", "--record", str(world.record_path))

    assert result.code == 0, result.err
    assert "10 days old" in result.out
    assert EKS in result.out
    assert "NEWER than that of the last build, ami-" in result.out


@pytest.mark.parametrize(
    ("found", "used", "newer", "words"),
    [
        ("2026-02-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z", True, "is newer"),
        ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", False, "is another, and older"),
        ("2026-01-01T00:00:00.000Z", None, False, "is another"),
    ],
)
def test_newer_is_what_was_made_later(world: World, found: str, used: str | None, newer: bool, words: str) -> None:
    """Another is not newer: a source that was pinned back, or an image that is gone and has no date any more."""
    _bases(world, found, used)
    command = ("images", "base", "--record", str(world.record_path))

    said = world.amigen(*command).out
    row = world.amigen(*command, "--output", "json").json["bases"][0]
    drift = world.amigen("images", "drift", "--output", "json", "--region", BUILD_REGION).json["drift"]

    assert (row["newer"], row["another"]) == (newer, True)
    assert ("NEWER than that" in said) == newer
    assert ("another than that of the last build" in said) == (not newer)
    assert [each["message"].endswith(words) for each in drift if each["subject"] == "base"] == [True]


def test_base_says_what_another_kernel_series_means(world: World) -> None:
    """The last build ran 6.1; the base of now is the EKS image of Kubernetes 1.34, with 6.12."""
    _bases(world, "2026-02-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = world.make_image(
        "amazon-eks-node-al2023-x86_64-standard-1.34-v20261101", {}
    )
    document = json.loads(world.record_path.read_text())
    document["images"][0]["kernel"] = {"running": "6.1.150-174.273.amzn2023.x86_64"}
    world.record_path.write_text(json.dumps(document))

    said = world.amigen("images", "base", "--record", str(world.record_path)).out
    row = world.amigen("images", "base", "--record", str(world.record_path), "--output", "json").json["bases"][0]

    assert "the kernel series changes from 6.1 to 6.12" in said
    assert "kube-proxy's ipvs mode needs ip_vs and the module of the scheduler rr there" in said
    assert (row["lastKernel"], row["kernel"], len(row["kernelChanges"])) == ("6.1", "6.12", 3)


def test_base_asks_of_the_last_build_only_its_source(world: World) -> None:
    """Whatever came of that build: an image that was not verified, or not kept."""
    _bases(world, "2026-02-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
    document = json.loads(world.record_path.read_text())
    document["images"][0] |= {"verified": False, "imageId": ""}
    world.record_path.write_text(json.dumps(document))

    result = world.amigen("images", "base", "--record", str(world.record_path))

    assert result.code == 0, result.err
    assert "NEWER than that of the last build" in result.out


def test_base_by_filter_takes_the_newest_of_the_owner_only(world: World) -> None:
    """The owner is part of the question: anybody can publish an image of that name."""
    world.write_spec('sourceAmis:\n  al2023:\n    filter: {name: "my-base-*", owners: [self]}')
    older, newer = world.make_image("my-base-1", {}), world.make_image("my-base-2", {})
    world.gateway.gaps.image_dates |= {older: "2026-01-01T00:00:00.000Z", newer: "2026-02-01T00:00:00.000Z"}

    result = world.amigen("images", "base", "--output", "json")

    assert result.code == 0, result.err
    assert result.json["bases"][0]["image"] == newer
    assert world.gateway.named("DescribeImages")[0].params["Owners"] == ["self"]


def test_no_base_names_parameter_and_region(world: World) -> None:
    world.write_spec()

    result = world.amigen("images", "base")

    assert result.code == 14
    assert EKS in result.err
    assert BUILD_REGION in result.err


# -- drift -------------------------------------------------------------------------------------------------------------


def test_no_drift_after_a_publish(world: World) -> None:
    world.write_spec()
    world.build()
    world.publish("--set-default")

    result = world.amigen("images", "drift", "--no-base")

    assert result.code == 0, result.out + result.err
    assert result.out.count("as the spec says") == 2


def test_drift_names_each_thing(world: World) -> None:
    """Spec changed, parameter moved by hand, an instance of an older image, base out of date."""
    world.write_spec()
    world.build(tags={"amigen/source-ami": "ami-0000000000000base"})
    world.publish("--set-default")
    ec2 = world.client("ec2")
    name = [{"Key": "amigen/name", "Value": "ipvs-nodes"}]
    instance = ec2.run_instances(
        ImageId="ami-99999999",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": name}],
    )["Instances"][0]["InstanceId"]
    world.client("ssm").put_parameter(
        Name="/amigen/ipvs-nodes/al2023/x86_64", Value="ami-12345678", Type="String", Overwrite=True
    )
    base = world.make_image("eks-node-1.34-v2", {})
    world.gateway.model.public_parameters[BUILD_REGION, EKS] = base
    world.write_spec(scheduler="sed")

    result = world.amigen("images", "drift", "--region", BUILD_REGION, "--output", "json")

    assert result.code == 4, result.err
    found = {each["subject"]: each for each in result.json["drift"]}
    assert set(found) == {"template", "image", "parameter", "instance", "base"}
    assert found["instance"]["what"] == instance
    assert any("sched" in line or "sed" in line for line in found["template"]["diff"])
    assert base in found["base"]["message"]


def test_drift_finds_a_canary_that_was_left(world: World) -> None:
    world.write_spec()
    world.build()
    world.publish("--set-default")
    tags = [{"Key": "amigen/name", "Value": "ipvs-nodes"}, {"Key": "amigen/canary", "Value": "x/1"}]
    world.client("ec2").run_instances(
        ImageId="ami-99999999",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )

    result = world.amigen("images", "drift", "--no-base")

    assert result.code == 4
    assert "a canary of an earlier publish is still there" in result.out


def test_drift_finds_a_node_that_was_launched_before(world: World) -> None:
    """Of the same image, by an older version or another spec: its user data and disks are others."""
    world.write_spec(copy_regions="")
    world.build()
    assert world.publish("--set-default").code == 0
    digest = world.template()["versions"][1]["VersionDescription"].split("spec=")[1].split(" ")[0]
    image, template = world.images["al2023/x86_64"], world.template()["LaunchTemplateId"]

    def launched(**tags: str) -> str:
        return launch(world, 1, image=image, **{"amigen/architecture": "x86_64", **tags})[0]

    other = launched(**{"amigen/digest": "0" * 64})
    right = launched(**{"amigen/digest": digest})
    older = launched(**{"amigen/digest": digest})
    by_hand = launched()

    def by_version(request: Request, response: Response) -> Response:
        """Auto Scaling sets these; nobody else can."""
        if request.operation != "DescribeInstances":
            return response
        found = read_response(request, response)
        for instance in (i for r in found["Reservations"] for i in r["Instances"]):
            versions = {right: "2", older: "1"}
            if instance["InstanceId"] in versions:
                tags = {"id": template, "version": versions[instance["InstanceId"]]}
                instance["Tags"] += [{"Key": f"aws:ec2launchtemplate:{k}", "Value": v} for k, v in tags.items()]
        return write_response(request, found)

    world.gateway.spoil = by_version
    world.write_spec("tags: {team: nodes}", copy_regions="")
    assert world.publish("--set-default", "--keep-image").code == 0

    result = world.amigen("images", "drift", "--no-base", "--output", "json")

    assert result.code == 4, result.err
    found = {each["what"]: each["message"] for each in result.json["drift"]}
    assert set(found) == {older, other}
    assert found[older] == "was launched by version 1 of ipvs-nodes-al2023-x86_64; the default is 2"
    assert found[other].startswith("was launched for another spec (digest 000000000000, the default version has ")
    assert by_hand not in found


def test_an_image_that_is_kept_on_purpose_is_no_drift(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build()
    assert world.publish("--set-default").code == 0
    world.write_spec("tags: {team: nodes}", copy_regions="")
    before = world.amigen("images", "drift", "--no-base")
    assert world.publish("--set-default", "--keep-image").code == 0

    after = world.amigen("images", "drift", "--no-base")
    document = world.amigen("images", "drift", "--no-base", "--output", "json").json

    assert before.code == 4
    assert after.code == 0, after.out + after.err
    image = world.images["al2023/x86_64"]
    assert f"note: image: {image} was built from another spec" in after.out
    assert "al2023/x86_64/eu-central-1: as the spec says" in after.out
    assert document["drift"] == []
    assert [(each["subject"], each["what"]) for each in document["notes"]] == [("image", image)]


# -- rollback ----------------------------------------------------------------------------------------------------------


def test_rollback_goes_to_the_last_default_and_only_there(world: World) -> None:
    """Asked for again, it stays: not one step further back."""
    images = generations(world, 3)

    first = world.amigen("rollback", "--yes")
    second = world.amigen("rollback", "--yes")

    assert first.code == second.code == 0, first.err + second.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2
    value = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"]
    assert value == images[1]
    assert "~ UserData:" in first.out
    assert "version 2, the default" in first.out
    assert "rolled back from version 3 to 2 already" in second.out


def test_rollback_passes_over_a_version_that_never_was_the_default(world: World) -> None:
    """A canary that failed has a lower number, too."""
    generations(world, 1)
    world.write_spec(scheduler="sed")
    world.build(tag="1")
    assert world.publish().code == 0  # version 2: made, never the default
    world.write_spec(scheduler="nq")
    world.build(tag="2")
    assert world.publish("--set-default").code == 0

    result = world.amigen("rollback", "--yes", "--region", BUILD_REGION)

    assert result.code == 0, result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1


def test_rollback_to_a_number_and_forward_again(world: World) -> None:
    generations(world, 3)

    result = world.amigen("rollback", "--yes", "--to", "1", "--region", BUILD_REGION)
    assert result.code == 0, result.err
    assert world.template(COPY_REGION)["DefaultVersionNumber"] == 3
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert world.publish("--set-default").code == 0
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 3
    assert len(world.template(BUILD_REGION)["versions"]) == 3


def test_a_number_is_of_one_template(world: World) -> None:
    """Version 1 of another region may be quite another image: it is not meant by the same number."""
    generations(world, 2)
    before = world.end_state()

    result = world.amigen("rollback", "--yes", "--to", "1")

    assert result.code == 13
    assert "al2023/x86_64/eu-central-1, al2023/x86_64/eu-west-1" in result.err
    assert "--region" in result.err
    assert world.end_state() == before


def test_rollback_is_written_to_the_ledger(world: World) -> None:
    """Whose default is not what a publish has made it any more."""
    generations(world, 2)
    key = f"al2023/x86_64/{BUILD_REGION}"
    assert world.ledger["entries"][key]["default"] == 2

    result = world.amigen("rollback", "--yes", "--record", str(world.record_path))

    assert result.code == 0, result.err
    entry = world.ledger["entries"][key]
    assert (entry["default"], entry["version"]) == (1, 2)
    assert "rolled-back" in entry["steps"]
    assert "default" not in entry["steps"]


def test_rollback_does_not_wait_for_the_ledger(world: World) -> None:
    """A publish that follows a rollout for hours holds it; going back is more urgent."""
    import fcntl

    generations(world, 2)
    with world.record_path.with_name("publish-ledger.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        result = world.amigen("rollback", "--yes", "--record", str(world.record_path))

    assert result.code == 0, result.err
    assert "is not written: another publish is using" in result.err
    assert world.template()["DefaultVersionNumber"] == 1


def test_rollback_refuses_where_the_image_is_gone(world: World) -> None:
    images = generations(world, 2)
    world.client("ec2").deregister_image(ImageId=images[0])

    result = world.amigen("rollback", "--yes", "--region", BUILD_REGION)

    assert result.code == 13
    assert f"launches {images[0]}, which is gone" in result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2


def test_rollback_dry_run_changes_nothing(world: World) -> None:
    generations(world, 2)
    before = world.end_state()

    result = world.amigen("rollback", "--dry-run")

    assert result.code == 0
    assert "version 2 -> 1" in result.out
    assert world.end_state() == before


def test_rollback_says_in_json_what_it_would_do_and_did(world: World) -> None:
    """One object per place: the plan alone in a dry run, and what came of it after."""
    images = generations(world, 2)

    planned = world.amigen("rollback", "--dry-run", "--output", "json")
    done = world.amigen("rollback", "--yes", "--output", "json")

    assert (planned.code, done.code) == (0, 0), planned.err + done.err
    assert planned.json["dryRun"] is True
    assert done.json["dryRun"] is False
    assert [place["region"] for place in done.json["places"]] == [BUILD_REGION, COPY_REGION]
    here = done.json["places"][0]
    assert (here["platform"], here["architecture"], here["version"], here["default"]) == ("al2023", "x86_64", 1, 1)
    assert (here["image"], here["error"]) == (images[0], None)
    assert [action["step"] for action in here["actions"]] == ["default", "parameter"]
    assert here["done"] == [action["title"] for action in planned.json["places"][0]["actions"]]
    assert any(line.startswith("~ UserData:") for line in here["actions"][0]["diff"])


# -- list and prune ----------------------------------------------------------------------------------------------------


def prune(world: World, *args: str) -> dict[str, object]:
    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "30", "--output", "json", *args)
    assert result.code == 0, result.err
    region = result.json["regions"][0]
    return {image["image"]: image["why"] for image in region["images"]}


def test_prune_shows_and_does_nothing_by_default(world: World) -> None:
    generations(world, 3)
    before = world.end_state()

    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "30")

    assert result.code == 0, result.err
    assert result.out.count("REMOVE, with its snapshots") == 4
    assert "--apply does it" in result.out
    assert world.end_state() == before


def test_prune_removes_images_with_their_snapshots(world: World) -> None:
    images = generations(world, 3)
    snapshots = len(world.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"])

    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "30", "--apply", "--yes")

    assert result.code == 0, result.err
    assert own(world) == images[2:]
    assert len(own(world, COPY_REGION)) == 1
    assert len(world.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]) == snapshots - 2


@pytest.mark.parametrize(
    "by",
    ["instance", "stopped instance", "group", "mixed group", "group version", "configuration", "parameter", "latest"],
)
def test_prune_leaves_what_is_used(world: World, by: str) -> None:
    """Whatever can launch an image keeps it."""
    images = generations(world, 3)
    ec2, scaling = world.client("ec2"), world.client("autoscaling")
    place = {"AvailabilityZones": ["eu-central-1a"], "MinSize": 0, "MaxSize": 1, "AutoScalingGroupName": "g"}
    if by in ("instance", "stopped instance"):
        found = ec2.run_instances(ImageId=images[0], MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        if by == "stopped instance":
            ec2.stop_instances(InstanceIds=[found])
    elif by == "group":
        data = {"ImageId": images[0], "InstanceType": "t3.small"}
        ec2.create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
        scaling.create_auto_scaling_group(
            LaunchTemplate={"LaunchTemplateName": "other", "Version": "$Default"}, **place
        )
    elif by == "mixed group":
        template = world.template(BUILD_REGION)["LaunchTemplateId"]
        specification = {"LaunchTemplateId": template, "Version": "1"}
        policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": []}}
        scaling.create_auto_scaling_group(MixedInstancesPolicy=policy, **place)
    elif by == "latest":
        data = {"ImageId": "ami-12345678", "InstanceType": "t3.small"}
        ec2.create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)
        data["ImageId"] = images[0]
        ec2.create_launch_template_version(LaunchTemplateName="other", LaunchTemplateData=data)
    elif by == "group version":
        template = world.template(BUILD_REGION)["LaunchTemplateId"]
        scaling.create_auto_scaling_group(LaunchTemplate={"LaunchTemplateId": template, "Version": "1"}, **place)
    elif by == "configuration":
        scaling.create_launch_configuration(LaunchConfigurationName="c", ImageId=images[0], InstanceType="t3.small")
    else:
        world.client("ssm").put_parameter(Name="/mine", Value=images[0], Type="String")
        world.parameters = ("/mine",)
        data = {"ImageId": "resolve:ssm:/mine", "InstanceType": "t3.small"}
        ec2.create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)

    why = prune(world)

    assert str(why[images[0]]).startswith("used by ")
    assert why[images[1]] is None
    assert str(why[images[2]]).startswith("used by launch template ipvs-nodes-al2023-x86_64 version 3")


def test_prune_leaves_the_young_and_the_launched(world: World) -> None:
    """A launch by an account that it is shared with shows only as a date."""
    images = generations(world, 4)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    world.gateway.gaps.image_dates[images[1]] = yesterday
    world.gateway.gaps.image_dates[images[3]] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    world.gateway.gaps.launched[images[0]] = yesterday

    why = prune(world)

    assert str(why[images[0]]).startswith("was launched on")
    assert why[images[1]] == "is younger than 30 days"
    assert why[images[2]] is None


def test_prune_stops_where_a_reference_cannot_be_resolved(world: World) -> None:
    """Nobody knows which image that is: nothing in the region is safe, the other region is done."""
    images = generations(world, 3)
    data = {"ImageId": "resolve:ssm:/gone", "InstanceType": "t3.small"}
    world.client("ec2").create_launch_template(LaunchTemplateName="other", LaunchTemplateData=data)

    result = world.amigen("images", "prune", "--keep", "1", "--older-than", "30", "--apply", "--yes")

    assert result.code == 7
    assert "resolve:ssm:/gone" in result.err
    listed = world.amigen("images", "list", "--output", "json")
    assert listed.code == 0
    assert [each["region"] for each in listed.json["unresolved"]] == [BUILD_REGION]
    assert "resolve:ssm:/gone" in world.amigen("images", "list").out
    assert own(world) == images
    assert len(own(world, COPY_REGION)) == 1


def test_prune_looks_again_right_before(world: World) -> None:
    """An instance that is launched between the plan and its turn keeps its image."""
    images = generations(world, 3)
    looks = []

    def launches(request: object) -> None:
        if getattr(request, "operation", "") == "DescribeLaunchConfigurations" and request.region == BUILD_REGION:  # type: ignore[attr-defined]
            looks.append(1)
            if len(looks) == 1:
                world.client("ec2").run_instances(ImageId=images[0], MinCount=1, MaxCount=1)

    world.gateway.before = launches

    result = world.amigen(
        "images", "prune", "--keep", "1", "--older-than", "30", "--apply", "--yes", "--region", BUILD_REGION
    )

    assert result.code == 0, result.err
    assert f"{images[0]} is kept: it is now used by" in result.err
    assert images[0] in own(world)
    assert images[1] not in own(world)


def test_prune_leaves_images_of_other_specs(world: World) -> None:
    """However old, and whatever their names."""
    generations(world, 2)
    foreign = world.make_image("ipvs-nodes-al2023-x86_64-0", {"amigen/name": "other"})
    world.gateway.gaps.image_dates[foreign] = "2019-01-01T00:00:00.000Z"

    assert foreign not in prune(world)
    assert world.amigen("images", "prune", "--keep", "1", "--older-than", "30", "--apply", "--yes").code == 0
    assert foreign in own(world)


def test_list_says_what_uses_what(world: World) -> None:
    images = generations(world, 2)

    result = world.amigen("images", "list", "--output", "json")

    assert result.code == 0, result.err
    used = {each["image"]: each["usedBy"] for each in result.json["images"]}
    assert used[images[0]] == []
    assert used[images[1]] == ["launch template ipvs-nodes-al2023-x86_64 version 2"]
