"""What Packer is told about the AMI and the way to AWS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from amigen.aws.session import Aws
from amigen.build.aws import AwsBuild, packer_variables
from amigen.build.packer_tool import Packer
from amigen.build.progress import Progress
from amigen.build.session import Session
from amigen.build.stop import Stop
from amigen.publish.state import Image
from tests.build.test_packer_files import plan_of
from tests.build.test_run import order

SOURCE = Image(id="ami-1", name="base", state="available", architecture="x86_64", root_device="/dev/sda1")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA\n")
    return Session(
        plan=plan_of(),
        architecture="x86_64",
        packer=Packer(path="packer", version=(1, 6, 6)),
        progress=Progress(),
        stop=Stop(),
        work=tmp_path,
        log=tmp_path / "log",
    )


def test_the_root_volume_is_that_of_the_ami(session: Session, tmp_path: Path) -> None:
    """Amazon Linux has /dev/xvda; an AMI of one's own may have another name, and would get a second disk."""
    found = packer_variables(session, AwsBuild(aws=Aws(), order=order(tmp_path)), SOURCE)
    assert (found["root_device"], found["source_ami_x86_64"]) == ("/dev/sda1", "ami-1")
    assert "endpoint_url" not in found


def test_the_users_own_variables_win(session: Session, tmp_path: Path) -> None:
    given = order(tmp_path)
    given = replace(given, request=replace(given.request, variables={"root_device": "/dev/xvdb"}))
    build = AwsBuild(aws=Aws(), order=given, endpoint_url="http://ec2")
    found = packer_variables(session, build, SOURCE)
    assert found["root_device"] == "/dev/xvdb"
    assert (found["endpoint_url"], found["offline"]) == ("http://ec2", True)
