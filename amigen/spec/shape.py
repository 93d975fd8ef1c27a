"""What a type of `amigen.spec.model` allows, read from its annotations once."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

Kind = Literal["struct", "map", "list", "choice", "text", "integer", "boolean", "union", "any"]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One type.

    Attributes:
        kind: What it is.
        type: For a struct, its class.
        item, key: For lists and maps, what they hold.
        members: For a union, its alternatives.
        choices: For a choice, the allowed words.
        nullable: Whether `null` is allowed.
        metas: Constraints and descriptions, innermost first.
    """

    kind: Kind
    type: Any = None
    item: Shape | None = None
    key: Shape | None = None
    members: tuple[Shape, ...] = ()
    choices: tuple[str, ...] = ()
    nullable: bool = False
    metas: tuple[msgspec.Meta, ...] = ()

    @property
    def pattern(self) -> str | None:
        """The regular expression of a text."""
        return next((m.extra_json_schema["pattern"] for m in self.metas if m.extra_json_schema), None)

    @property
    def allowed(self) -> str:
        """The allowed values, in words for a message."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "integer":
            low = next((m.ge for m in self.metas if m.ge is not None), None)
            high = next((m.le for m in self.metas if m.le is not None), None)
            return f"a whole number from {low} to {high}" if low is not None and high is not None else "a whole number"
        if self.kind == "text" and self.pattern and self.metas[0].description:
            return str(self.metas[0].description)
        if self.kind == "union":
            return " or ".join(m.allowed for m in self.members)
        words = {
            "struct": "a mapping",
            "map": "a mapping",
            "list": "a list",
            "text": "text",
            "boolean": "true or false",
            "any": "any value",
        }
        return words[self.kind]


@cache
def fields(struct: type[msgspec.Struct]) -> dict[str, tuple[str, Shape, bool]]:
    """The keys of a struct as YAML spells them: key -> (attribute, shape, required)."""
    hints = get_type_hints(struct, include_extras=True)
    out: dict[str, tuple[str, Shape, bool]] = {}
    defaults = len(struct.__struct_fields__) - len(struct.__struct_defaults__)
    for position, (attribute, key) in enumerate(
        zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    ):
        required = position < defaults or struct.__struct_defaults__[position - defaults] is msgspec.NODEFAULT
        out[key] = (attribute, shape(hints[attribute]), required)
    return out


@cache
def shape(annotation: Any) -> Shape:
    """The shape of an annotation."""
    metas: tuple[msgspec.Meta, ...] = ()
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metas = (*(m for m in more if isinstance(m, msgspec.Meta)), *metas)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        members = tuple(shape(a) for a in arguments if a is not types.NoneType)
        nullable = len(members) < len(arguments)
        if len(members) == 1:
            return msgspec.structs.replace(members[0], nullable=nullable, metas=members[0].metas + metas)
        return Shape(kind="union", members=members, nullable=nullable, metas=metas)
    if origin is Literal:
        return Shape(kind="choice", choices=tuple(str(a) for a in arguments), metas=metas)
    if origin is tuple:
        return Shape(kind="list", item=shape(arguments[0]), metas=metas)
    if origin is dict:
        return Shape(kind="map", key=shape(arguments[0]), item=shape(arguments[1]), metas=metas)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return Shape(kind="struct", type=annotation, metas=metas)
    kinds: dict[Any, Kind] = {str: "text", int: "integer", bool: "boolean", Any: "any"}
    return Shape(kind=kinds[annotation], metas=metas)


def empty(shape: Shape) -> Any:
    """An empty value of the shape, in place of one that cannot be read."""
    if shape.kind == "struct":
        return shape.type(**{name: empty(inner) for name, inner, required in fields(shape.type).values() if required})
    return {"map": {}, "list": (), "integer": 0, "boolean": False, "any": None}.get(shape.kind, "")
