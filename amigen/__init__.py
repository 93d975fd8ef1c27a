"""amigen: one spec in, a proven Kubernetes node image out.

The names below are the public library. They are loaded on first use, so that `import amigen` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amigen.base.version import __version__ as __version__

if TYPE_CHECKING:
    from amigen.api import artifacts as artifacts
    from amigen.api import explain as explain
    from amigen.api import plan_image as plan_image
    from amigen.api import plan_images as plan_images
    from amigen.base.errors import AmigenError as AmigenError
    from amigen.base.errors import Problem as Problem
    from amigen.base.errors import SpecError as SpecError
    from amigen.export.formats import export_files as export_files
    from amigen.plan.model import ImagePlan as ImagePlan
    from amigen.render.artifacts import Artifact as Artifact
    from amigen.spec.load import check_file as check_file
    from amigen.spec.load import existing_user_data as existing_user_data
    from amigen.spec.load import load_spec as load_spec
    from amigen.spec.load import parse_spec as parse_spec
    from amigen.spec.model import NodeImage as NodeImage
    from amigen.spec.schema import json_schema as json_schema
    from amigen.userdata.make import user_data as user_data

_PLACES = {
    "AmigenError": "amigen.base.errors",
    "Artifact": "amigen.render.artifacts",
    "ImagePlan": "amigen.plan.model",
    "NodeImage": "amigen.spec.model",
    "Problem": "amigen.base.errors",
    "SpecError": "amigen.base.errors",
    "artifacts": "amigen.api",
    "check_file": "amigen.spec.load",
    "existing_user_data": "amigen.spec.load",
    "explain": "amigen.api",
    "export_files": "amigen.export.formats",
    "json_schema": "amigen.spec.schema",
    "load_spec": "amigen.spec.load",
    "parse_spec": "amigen.spec.load",
    "plan_image": "amigen.api",
    "plan_images": "amigen.api",
    "user_data": "amigen.userdata.make",
}

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'amigen' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)
