"""The rendered Packer files: their content, and that the real Packer takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.render.artifacts import artifacts
from amigen.render.folder import write
from amigen.render.packer import AWS_IMAGE, packer_files
from amigen.spec.load import load_spec
from amigen.spec.model import (
    AmiFilter,
    Aws,
    Bastion,
    Builder,
    Encryption,
    Local,
    LocalBase,
    NodeImage,
    PolicyStatement,
    RootVolume,
    SourceAmi,
    Spot,
)
from tests.real.packer import run_packer
from tests.specs import GOLDEN

GOLDEN_PLATFORMS = [
    (case.parent.name, name) for case in sorted(GOLDEN.glob("*/spec.yaml")) for name in load_spec(case).platforms
]


def image(**changes: Any) -> NodeImage:
    fields: dict[str, Any] = {
        "api_version": "amigen/v1alpha1",
        "kind": "NodeImage",
        "name": "demo",
        "kubernetes_version": "1.35",
        "platforms": tuple(PLATFORMS),
        "architectures": ("x86_64", "arm64"),
    }
    return NodeImage(**{**fields, **changes})


def plan_of(aws: Aws = Aws(), platform: str = "al2023", **changes: Any) -> ImagePlan:  # noqa: B008
    return plan_images(image(platforms=(platform,), aws=aws, **changes))[0]


HOSTILE = 'a" } ${file("/etc/passwd")} %{ if true }'
CASES: dict[str, Aws] = {
    "defaults": Aws(),
    "plain": Aws(base_image="plain"),
    "source id": Aws(source_amis={"al2023": SourceAmi(id="ami-12345678")}),
    "source filter": Aws(source_amis={"al2023": SourceAmi(filter=AmiFilter(name="x-*", owners=("self", "amazon")))}),
    "source parameter": Aws(source_amis={"al2023": SourceAmi(ssm_parameter="/own/{arch}")}),
    "network": Aws(
        vpc_id="vpc-12345678",
        subnet_id="subnet-12345678",
        security_group_ids=("sg-12345678",),
        associate_public_ip=False,
    ),
    "network by filters": Aws(
        builder=Builder(
            vpc_filter={"tag:Class": "build", "is-default": "false"},
            subnet_filter={"tag:Class": "build", "availability-zone": "us-east-1*"},
            security_group_filter={"group-name": "build-?"},
            ssh_interface="private_ip",
            user_data='#!/bin/sh\necho "${HOME}" %{ if true }\n',
        )
    ),
    "AMI name": Aws(ami_name="golden/{name} ({platform}-{architecture}) {build}'@"),
    "ssh sources": Aws(ssh_source_cidrs=("192.0.2.0/24", "2001:db8::/32")),
    "session manager": Aws(communicator="session-manager", iam_instance_profile="builder"),
    "spot": Aws(builder=Builder(spot=Spot())),
    "spot types and a temporary profile": Aws(
        builder=Builder(
            spot=Spot(instance_types={"x86_64": ("t3.medium", "m7i.large")}, max_price="0.05"),
            instance_profile_policy=(
                PolicyStatement(actions=("ssm:*", "s3:GetObject"), resources=("arn:aws:s3:::b/${aws:userid}/*",)),
                PolicyStatement(effect="Deny", actions=("s3:Put*",), resources=("*",)),
            ),
        )
    ),
    "bastion": Aws(builder=Builder(bastion=Bastion(host="bastion.example.com", user="me", port=2222))),
    "IPv6": Aws(builder=Builder(ssh_interface="ipv6")),
    "key": Aws(encryption=Encryption(kms_key_id="alias/images")),
    "no encryption": Aws(encryption=Encryption(enabled=False)),
    "io2": Aws(root_volume=RootVolume(type="io2", iops=4000, size_gib=100)),
    "gp2": Aws(root_volume=RootVolume(type="gp2")),
    "io2 beyond Packer": Aws(root_volume=RootVolume(type="io2", iops=256000, size_gib=256)),
    "io2 beyond Packer by size": Aws(root_volume=RootVolume(type="io2", iops=20000, size_gib=20)),
    "gp3 beyond Packer": Aws(root_volume=RootVolume(iops=80000, throughput=2000, size_gib=160)),
    "tags": Aws(tags={"Owner": "me", "a b:c/d=e+f-g@h_i": "x"}, deprecate_after_days=90),
    # The spec refuses such a value; the filter must hold even where a rule has a hole.
    "hostile": Aws(tags={"Owner": HOSTILE}),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def written(plan: ImagePlan, folder: Path) -> Path:
    for name in ("bootstrap", "hygiene"):
        script = folder / "scripts" / f"{name}.sh"
        script.parent.mkdir(exist_ok=True)
        script.write_text("#!/bin/bash\n")
    for name, text in packer_files(plan).items():
        path = folder / "packer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "packer"


def plans() -> Iterator[Any]:
    for platform in PLATFORMS:
        yield pytest.param(plan_of(platform=platform), id=platform)
    for name, aws in CASES.items():
        yield pytest.param(plan_of(aws), id=name)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [*plans()])
def test_the_real_packer_takes_them(plan: ImagePlan, tmp_path: Path, key: Path) -> None:
    """`packer fmt -check` and `packer validate`, and Debian's Packer 1.6 for the file of local builds."""
    take(written(plan, tmp_path), key)


@pytest.mark.slow
@pytest.mark.parametrize("case", GOLDEN_PLATFORMS, ids="-".join)
def test_the_real_packer_takes_what_is_rendered(case: tuple[str, str], key: Path, tmp_path: Path) -> None:
    """The golden cases as `amigen render` writes them."""
    name, platform = case
    write(tmp_path / "out", artifacts(load_spec(GOLDEN / name / "spec.yaml")))
    take(tmp_path / "out" / platform / "packer", key)


def take(folder: Path, key: Path) -> None:
    local = ["-var", "base=/dev/null", "-var", f'seed=["{key}"]', "-var", f"ssh_private_key_file={key}"]
    for part, variables in (("aws", []), ("local", local)):
        for command in (["fmt", "-check", "-diff"], ["init"], ["validate", *variables]):
            done = run_packer(*command, ".", cwd=folder / part)
            assert done.returncode == 0, done.stdout + done.stderr
    old = subprocess.run(
        ["/usr/bin/packer", "validate", *local, str(folder / "local/image.pkr.hcl")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert old.returncode == 0, old.stdout + old.stderr


def test_imdsv2_is_required_of_builder_and_ami() -> None:
    text = packer_files(plan_of())[AWS_IMAGE]
    assert 'imds_support    = "v2.0"' in text
    assert re.search(r'metadata_options \{\n +http_endpoint +=.*\n +http_tokens +=  *"required"', text)


def test_ssh_comes_from_where_the_spec_says() -> None:
    text = packer_files(plan_of(CASES["ssh sources"]))[AWS_IMAGE]
    assert re.search(r'temporary_security_group_source_cidrs *= \["192.0.2.0/24", "2001:db8::/32"\]', text)
    assert "temporary_security_group" not in packer_files(plan_of())[AWS_IMAGE]


_CLOUD_INIT = {
    "none": (None, 0, ""),
    "done": ("exit 0", 0, ""),
    "ended with an error": ("exit 1", 0, ""),
    "never ends": ("exec sleep 60", 1, "cloud-init does not end\n"),
}


@pytest.mark.parametrize("file", [AWS_IMAGE, "local/image.pkr.hcl"])
@pytest.mark.parametrize("case", _CLOUD_INIT)
def test_the_bootstrap_waits_for_cloud_init(case: str, file: str, tmp_path: Path) -> None:
    """Also of a `packer build` by hand; the commands are run here as Packer does, with a shorter bound."""
    does, code, said = _CLOUD_INIT[case]
    text = packer_files(plan_of())[file]
    lines = re.search(r'inline = \[\n +"(command -v cloud-init.*)",\n +"(timeout 900 .*)",\n', text)
    assert lines is not None
    assert lines.start() < text.index("bootstrap.sh")
    if does is not None:
        (tmp_path / "cloud-init").write_text(f"#!/bin/sh\n[ \"$*\" = 'status --wait' ] || exit 3\n{does}\n")
        (tmp_path / "cloud-init").chmod(0o755)
    for name in ("sh", "sleep", "timeout"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    script = "\n".join(lines.groups()).replace("timeout 900", "timeout 0.2")
    done = subprocess.run(
        ["sh", "-e", "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, said)


def test_nothing_is_copied_or_shared_by_packer() -> None:
    """Copies and shares come after the checks, so no file may ask Packer for them."""
    spec = Aws(copy_regions=("eu-west-1",), share=CASES["defaults"].share)
    for text in packer_files(plan_of(spec)).values():
        assert not re.search(r"ami_regions|ami_users|ami_org_arns|ami_ou_arns|snapshot_users|ami_groups", text)


def test_what_is_cleaned_comes_last_and_what_is_proven_comes_after_a_reboot() -> None:
    text = packer_files(plan_of())[AWS_IMAGE]
    order = ["EVENT=started", "bootstrap.sh", "systemctl reboot", "EVENT=proven", "hygiene.sh", "EVENT=clean"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_every_provisioner_runs_where_tmp_is_noexec() -> None:
    """bash reads the script; nothing is executed from the folder that Packer uploads to (amazon-eks-ami PR 346)."""
    for name, text in packer_files(plan_of()).items():
        blocks = re.findall(r'(?ms)^  provisioner "(?:shell|shell-local)" \{.*?^  }', text)
        assert name.endswith("plugins.pkr.hcl") or blocks
        assert [block for block in blocks if not re.search(r"execute_command +=.*bash -e \{\{ \.", block)] == []


def test_hostile_text_stays_text() -> None:
    text = packer_files(plan_of(CASES["hostile"]))[AWS_IMAGE]
    assert r'"Owner"           = "a\" } $${file(\"/etc/passwd\")} %%{ if true }"' in text


def test_the_local_base_is_no_part_of_the_files() -> None:
    """Paths of one machine do not belong into files that are kept in a repository."""
    local = Local(bases={"al2023": LocalBase(path="/some/base.qcow2")})
    assert all("base.qcow2" not in text for text in packer_files(plan_of(local=local)).values())
