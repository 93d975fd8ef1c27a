"""`amigen publish --canary`."""

from __future__ import annotations

from tests.publish.stand_in.wire import Refusal, Request
from tests.publish.world import BUILD_REGION, World


def _second(world: World) -> None:
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")


def _living(world: World) -> list[str]:
    reservations = world.client("ec2").describe_instances()["Reservations"]
    states = [(i["InstanceId"], i["State"]["Name"]) for r in reservations for i in r["Instances"]]
    return [instance for instance, state in states if state not in ("terminated", "shutting-down")]


def test_a_proven_version_becomes_the_default(world: World) -> None:
    """Launched once, of the version that is not yet the default, proven, terminated, promoted by its number."""
    _second(world)
    world.gateway.start_counting()

    result = world.publish("--canary")

    assert result.code == 0, result.err
    launches = world.gateway.named("RunInstances")
    assert [call.params["LaunchTemplate"]["Version"] for call in launches] == ["2"]
    operations = [c.operation for c in world.gateway.calls]
    assert operations.index("TerminateInstances") < operations.index("ModifyLaunchTemplate")
    assert world.gateway.named("ModifyLaunchTemplate")[0].params["DefaultVersion"] == "2"
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 2
    assert _living(world) == []


def test_a_version_that_fails_stays_where_it_is(world: World) -> None:
    """The default and the parameter stay, the instance goes, the message says which check."""
    _second(world)
    world.gateway.model.everywhere = "sick"

    result = world.publish("--canary")

    assert result.code == 6
    assert "test_health[node]" in result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    parameter = world.client("ssm").get_parameter(Name="/amigen/ipvs-nodes/al2023/x86_64")["Parameter"]["Value"]
    assert parameter != world.images["al2023/x86_64"]
    assert _living(world) == []


def test_a_canary_that_failed_is_tried_again_with_a_new_instance(world: World) -> None:
    _second(world)
    world.gateway.model.everywhere = "sick"
    world.publish("--canary")
    world.gateway.model.everywhere = "healthy"

    result = world.publish("--canary")

    assert result.code == 0, result.err
    template = world.template(BUILD_REGION)
    assert (template["DefaultVersionNumber"], sorted(template["versions"])) == (2, [1, 2])


def test_an_instance_that_never_answers_is_no_proof(world: World) -> None:
    """Not managed by Systems Manager: exit code 7, and nothing left behind."""
    _second(world)

    class Everyone(set):  # type: ignore[type-arg]
        def __contains__(self, item: object) -> bool:
            return True

    world.gateway.model.offline = Everyone()

    result = world.publish("--canary", "--timeout", "0.01")

    assert result.code == 7, result.err
    assert "AmazonSSMManagedInstanceCore" in result.err
    assert world.template(BUILD_REGION)["DefaultVersionNumber"] == 1
    assert _living(world) == []


def test_the_canary_is_said_in_the_plan(world: World) -> None:
    _second(world)

    result = world.publish("--canary", "--dry-run")

    assert "launch a canary of ipvs-nodes-al2023-x86_64 version (the new one), verify it, terminate it" in result.out
    assert "default of ipvs-nodes-al2023-x86_64: version 1 -> (the new one)" in result.out


def _with_interfaces(world: World, *interfaces: dict[str, object]) -> str:
    """A second build, on top of a template to which somebody has given network interfaces; and a subnet to be in."""
    ec2 = world.client("ec2")
    subnet: str = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    world.write_spec(copy_regions="")
    world.build(tag="1")
    assert world.publish().code == 0
    template = world.template()
    data = {**template["versions"][1]["LaunchTemplateData"], "NetworkInterfaces": list(interfaces)}
    ec2.create_launch_template_version(LaunchTemplateId=template["LaunchTemplateId"], LaunchTemplateData=data)
    ec2.modify_launch_template(LaunchTemplateId=template["LaunchTemplateId"], DefaultVersion="2")
    world.write_spec(scheduler="sed", copy_regions="")
    world.build(tag="2")
    return subnet


def test_a_subnet_goes_into_the_network_interface_of_the_template(world: World) -> None:
    """EC2 refuses both beside each other."""
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": False, "Groups": ["sg-0123456789abcdef0"]}
    subnet = _with_interfaces(world, interface)

    result = world.publish("--canary", "--canary-subnet", f"eu-central-1={subnet}")

    assert result.code == 0, result.err
    params = world.gateway.named("RunInstances")[0].params
    assert "SubnetId" not in params
    assert params["NetworkInterfaces"] == [{**interface, "SubnetId": subnet}]


def test_type_and_role_of_the_template_go_before_those_of_the_builder(world: World) -> None:
    world.client("iam").create_instance_profile(InstanceProfileName="nodes")
    world.client("iam").create_instance_profile(InstanceProfileName="builder")
    world.roles = ("builder", "nodes")
    world.write_spec("iamInstanceProfile: builder", copy_regions="")
    world.build(tag="1")
    assert world.publish("--canary").code == 0
    ec2, template = world.client("ec2"), world.template()
    data = template["versions"][1]["LaunchTemplateData"]
    data |= {"InstanceType": "m5.large", "IamInstanceProfile": {"Name": "nodes"}}
    ec2.create_launch_template_version(LaunchTemplateId=template["LaunchTemplateId"], LaunchTemplateData=data)
    ec2.modify_launch_template(LaunchTemplateId=template["LaunchTemplateId"], DefaultVersion="2")
    world.write_spec("iamInstanceProfile: builder", scheduler="sed", copy_regions="")
    world.build(tag="2")
    assert world.publish("--canary").code == 0

    first, second = (call.params for call in world.gateway.named("RunInstances"))

    assert (first["InstanceType"], first["IamInstanceProfile"]) == ("t3.medium", {"Name": "builder"})
    assert "InstanceType" not in second
    assert "IamInstanceProfile" not in second


def test_a_subnet_of_the_builder_does_not_move_the_interface_of_the_template(world: World) -> None:
    """The template says where its nodes are; only --canary-subnet says otherwise."""
    ec2 = world.client("ec2")
    own = ec2.describe_subnets()["Subnets"][1]["SubnetId"]
    subnet = _with_interfaces(world, {"DeviceIndex": 0, "SubnetId": own})
    vpc = ec2.describe_subnets()["Subnets"][0]["VpcId"]
    world.write_spec(f"subnetId: {subnet}\nvpcId: {vpc}", scheduler="sed", copy_regions="")
    world.build(tag="2")

    result = world.publish("--canary")

    assert result.code == 0, result.err
    params = world.gateway.named("RunInstances")[0].params
    assert "SubnetId" not in params
    assert "NetworkInterfaces" not in params


def test_a_failed_check_is_told_where_the_canary_cannot_be_terminated(world: World) -> None:
    """Both: what is wrong with the version, and that an instance is still there."""
    _second(world)
    world.gateway.model.everywhere = "sick"

    def refuses(request: Request) -> None:
        if request.operation == "TerminateInstances":
            raise Refusal("UnauthorizedOperation", "may not, says the test")

    world.gateway.authority = refuses

    result = world.publish("--canary")

    assert result.code == 6, result.err
    assert "test_health[node]" in result.err
    instance = _living(world)[0]
    assert f"and the canary {instance} is still there: ec2:TerminateInstances in eu-central-1" in result.err


JOIN = """\
join:
  eks:
    name: prod
    apiServerEndpoint: https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com
    certificateAuthority: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUMKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
    serviceCIDR: 10.100.0.0/16
"""


def test_the_plan_says_that_a_canary_joins_the_cluster(world: World) -> None:
    world.write_spec(copy_regions="")
    world.spec_path.write_text(world.spec_path.read_text() + JOIN)
    world.build()

    with_canary, without = world.publish("--canary", "--dry-run"), world.publish("--dry-run")

    assert with_canary.code == 0, with_canary.err
    assert "note: the canary joins the cluster prod as a node for some minutes" in with_canary.out
    assert "joins the cluster" not in without.out
