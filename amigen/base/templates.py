"""The Jinja environments over the top-level folders `templates/` and `packer/`."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from amigen.base import quoting
from amigen.base.shipped import Folder, folder


@cache
def environment(name: Folder) -> Environment:
    """An environment that refuses undefined names; its filters are those of `amigen.base.quoting`."""
    env = Environment(
        loader=FileSystemLoader(folder(name)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML here; each language has its own quoting filter
        auto_reload=False,
    )
    languages = (
        quoting.sh,
        quoting.words,
        quoting.hcl,
        quoting.hcl_inner,
        quoting.comment,
        quoting.py,
        quoting.py_block,
    )
    env.filters.update({filter_.__name__: filter_ for filter_ in languages})
    # No template needs Jinja's own globals, and each rendering would copy them.
    env.globals.clear()
    return env


def render(name: Folder, template: str, /, **context: object) -> str:
    """Render one template."""
    return environment(name).get_template(template).render(**context)
