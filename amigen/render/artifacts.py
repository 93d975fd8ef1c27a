"""All artifacts of a spec: path in the folder -> content."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct

from amigen.base.errors import SizeError
from amigen.base.templates import render
from amigen.plan.describe import plan_document
from amigen.plan.make import plan_images
from amigen.plan.model import ImagePlan
from amigen.render.packer import packer_files
from amigen.render.suite import suite_files
from amigen.scripts.bootstrap import bootstrap_script, hygiene_script
from amigen.spec.model import NodeImage
from amigen.userdata.make import default_format, user_data


class Artifact(Struct, frozen=True, kw_only=True):
    """A file to write.

    Attributes:
        path: Relative, with `/`.
        executable: Mode 0755 in place of 0644.
        private: Readable for its owner only: it holds a file that is not for everybody.
    """

    path: str
    content: bytes
    executable: bool = False
    private: bool = False


def artifacts(spec: NodeImage, *, merge: bytes | None = None) -> tuple[Artifact, ...]:
    """All files of the rendered folder, sorted by path; the same spec gives the same bytes.

    Args:
        merge: Content of the file that `userData.merge` names, from `amigen.spec.load.existing_user_data`.

    Raises:
        InputError: The existing user data cannot be read, or is named by the spec and not given.
    """
    plans = plan_images(spec)
    found = [artifact for plan in plans for artifact in _platform(plan, merge)]
    readme = render(
        "templates", "README.md.jinja", name=spec.name, plans=plans, without=_without_user_data(plans, found)
    )
    found.append(Artifact(path="README.md", content=readme.encode()))
    return tuple(sorted(found, key=lambda artifact: artifact.path))


def _platform(plan: ImagePlan, merge: bytes | None) -> Iterator[Artifact]:
    base = plan.platform
    suffix = {"shell": "sh", "mime": "mime", "cloud-config": "yaml"}[default_format(plan)]
    private = plan.has_private_files
    # Where it is too large, the image carries it all, and README.md says so.
    with contextlib.suppress(SizeError):
        yield Artifact(path=f"{base}/user-data.{suffix}", content=user_data(plan, merge=merge), private=private)
    for path, text in build_files(plan).items():
        executable = path.startswith("scripts/")
        hidden = private and path == "scripts/bootstrap.sh"
        yield Artifact(path=f"{base}/{path}", content=text.encode(), executable=executable, private=hidden)
    for file in plan.files:
        if file.path.startswith("/etc/modules-load.d/"):
            yield Artifact(path=f"{base}/modules-load.d/{PurePosixPath(file.path).name}", content=file.content)
    plan_json = msgspec.json.format(msgspec.json.encode(plan_document(plan)), indent=2)
    yield Artifact(path=f"{base}/plan.json", content=plan_json + b"\n")
    for path, text in suite_files(plan).items():
        yield Artifact(path=f"{base}/{path}", content=text.encode())


def build_files(plan: ImagePlan) -> dict[str, str]:
    """What an image build needs: path below the platform's folder -> text."""
    scripts = {"bootstrap": bootstrap_script(plan, user_data=False), "hygiene": hygiene_script(plan)}
    return {
        **{f"scripts/{name}.sh": text for name, text in scripts.items()},
        **{f"packer/{path}": text for path, text in packer_files(plan).items()},
    }


def _without_user_data(plans: tuple[ImagePlan, ...], found: list[Artifact]) -> list[str]:
    have = {artifact.path.split("/")[0] for artifact in found if "/user-data." in artifact.path}
    return [plan.platform for plan in plans if plan.platform not in have]
