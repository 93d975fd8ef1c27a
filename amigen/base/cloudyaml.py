"""Read YAML as cloud-init does: `yaml.safe_load` of PyYAML, with the limits of `amigen.base.goyaml`."""

from __future__ import annotations

from typing import Any

import yaml

from amigen.base.goyaml import MOST_VALUES, Base, decoded, first_alone, not_yaml, twice


def read(content: bytes) -> Any:
    """The value that cloud-init reads; raises ValueError as `document`."""
    return document(content)[0]


def document(content: bytes) -> tuple[Any, tuple[str, ...]]:
    """The value that cloud-init reads, and the keys that stand twice, in words.

    Raises:
        ValueError: It cannot be read, in a sentence with the line where that is known.
    """
    text = decoded(content)
    try:
        if first_alone(text):
            raise ValueError("holds several YAML documents")
        loader = Base(text)
        try:
            node = loader.get_single_node()
            _measured(node, {})
            return (loader.construct_document(node) if node else None), twice(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(not_yaml(error, text)) from None
    except (TypeError, LookupError, AttributeError, OverflowError):
        raise ValueError("is not valid YAML: a value is not what its tag says") from None


def _measured(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """How many values a node holds, aliases counted at each use.

    Raises:
        ValueError: Too many, an alias refers to itself, or a number is too long to be shown.
    """
    if not isinstance(node, yaml.CollectionNode):
        # Python does not print larger ones (sys.set_int_max_str_digits).
        if node is not None and node.tag == "tag:yaml.org,2002:int" and len(node.value) > 3000:
            raise ValueError("holds a number of more than 3,000 digits")
        return 1
    if id(node) not in sizes:
        sizes[id(node)] = MOST_VALUES  # until it is known: a node in itself has no end
        inner = [child for pair in node.value for child in (pair if isinstance(pair, tuple) else (pair,))]
        sizes[id(node)] = 1 + sum(_measured(child, sizes) for child in inner)
    if sizes[id(node)] > MOST_VALUES:
        raise ValueError(f"holds more than {MOST_VALUES} values, aliases counted at each use")
    return sizes[id(node)]
