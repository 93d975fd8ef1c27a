"""Write docs/spec.md: the reference of the spec, made from the model (`make docs`)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from amigen.spec.model import API_VERSION, NodeImage
from amigen.spec.schema import descriptions
from amigen.spec.shape import Shape, fields


def reference() -> str:
    """The reference of the spec as Markdown: one table per mapping."""
    lines = [
        "# The spec",
        "",
        f"One YAML file, `apiVersion: {API_VERSION}`, `kind: NodeImage`. The smallest useful one has five lines:",
        "",
        "```yaml",
        *_SMALLEST,
        "```",
        "",
        "Everything else has a default. Unknown keys, wrong types and impossible combinations are reported at once by",
        "`amigen check`, each with its line. `amigen schema` prints the JSON Schema, for editors.",
        "",
        "This page is made from the model by `make docs`; do not edit it.",
        "",
    ]
    lines += _tables(NodeImage, "")
    return "\n".join(lines) + "\n"


_SMALLEST = (
    f"apiVersion: {API_VERSION}",
    "kind: NodeImage",
    "name: ipvs-nodes",
    'kubernetesVersion: "1.34"',
    "platforms: [al2023]",
)


def _tables(struct: type[msgspec.Struct], path: str) -> Iterator[str]:
    yield f"## {f'`{path}`' if path else 'Top level'}"
    yield ""
    yield (struct.__doc__ or "").split("\n")[0]
    yield ""
    yield "| key | what it is | allowed | default |"
    yield "|---|---|---|---|"
    deeper: list[tuple[str, type[msgspec.Struct]]] = []
    defaults = dict(zip(struct.__struct_fields__[::-1], struct.__struct_defaults__[::-1], strict=False))
    for key, (attribute, shape, required) in fields(struct).items():
        text = descriptions()[struct.__name__][attribute]
        default = "**required**" if required else _default(defaults[attribute])
        yield f"| `{key}` | {_cell(text)} | {_cell(_allowed(shape))} | {default} |"
        where = f"{path}.{key}" if path else key
        inner, suffix = _inner(shape)
        if inner:
            deeper.append((where + suffix, inner))
    yield ""
    for where, inner in deeper:
        yield from _tables(inner, where)


def _inner(shape: Shape) -> tuple[type[msgspec.Struct] | None, str]:
    if shape.kind == "struct":
        return shape.type, ""
    if shape.kind == "list" and shape.item and shape.item.kind == "struct":
        return shape.item.type, "[]"
    if shape.kind == "map" and shape.item and shape.item.kind == "struct":
        return shape.item.type, ".*"
    return None, ""


def _allowed(shape: Shape) -> str:
    if shape.kind == "list" and shape.item:
        return f"list: {_allowed(shape.item)}"
    if shape.kind == "map" and shape.item and shape.key:
        return f"mapping: {_allowed(shape.key)} to {_allowed(shape.item)}"
    if shape.kind == "choice":
        return " ".join(f"`{choice}`" for choice in shape.choices)
    return shape.allowed


def _default(value: object) -> str:
    if value is None:
        return "unset"
    if value is True or value is False:
        return f"`{str(value).lower()}`"
    if isinstance(value, msgspec.Struct) or value == {} or value == ():
        return "empty"
    # msgspec keeps empty mutable defaults as a factory.
    if type(value).__name__ == "Factory" or callable(value):
        return "empty"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    print(reference(), end="")
