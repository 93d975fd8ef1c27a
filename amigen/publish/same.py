"""Is there a version already that says what is wanted?

EC2's answers need not be what it was told, byte for byte: it may add fields with its own defaults. So a version is the
same when it says just that, or when its label has the digest of what was sent and nothing of that has another value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amigen.publish.state import Template, Version
from amigen.publish.template import canonical, content_digest, covers

# The data of a next version, made of those of the one before.
Make = Callable[[dict[str, Any]], dict[str, Any]]


def same_version(template: Template, make: Make, image: str) -> Version | None:
    """The version that says this already: the default one, or else the newest."""
    data = make(template.default_version.data)
    others = [version for version in reversed(template.versions) if version.number != template.default]
    exact = (v for v in (template.default_version, *others) if canonical(v.data) == data and v.image == image)
    found = next(exact, None)
    if found is not None or is_default_same(template, make, image):
        return found or template.default_version
    content = content_digest(data, image)
    return next((v for v in others if v.label and v.label.content == content and _covers(v, data, image)), None)


def is_default_same(template: Template, make: Make, image: str) -> bool:
    """Does the default version say this already?

    It was made of the version that was the default then: which one that was does not matter, as what is not amigen's
    comes from the default version itself.
    """
    version = template.default_version
    data = make(version.data)
    if canonical(version.data) == data and version.image == image:
        return True
    if version.label is None or not _covers(version, data, image):
        return False
    before = ({}, *(each.data for each in template.versions))
    return any(version.label.content == content_digest(make(each), image) for each in before)


def _covers(version: Version, data: dict[str, Any], image: str) -> bool:
    return version.image == image and covers(canonical(version.data), data)
