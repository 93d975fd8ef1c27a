"""Read YAML as cloud-init does: `yaml.safe_load` of PyYAML, with the limits of `amigen.base.goyaml`."""

from __future__ import annotations

from typing import Any

import yaml

from amigen.base.goyaml import DEEPEST, MOST_VALUES, not_yaml, twice
from amigen.base.yamltext import Loader, decoded, within_limits


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
        loader = Loader(text, DEEPEST)
        node, more = loader.first_document()
        if more:
            raise ValueError("holds several YAML documents")
        nodes = list(within_limits(node, deepest=DEEPEST, most=MOST_VALUES))
        # Python does not print larger ones (sys.set_int_max_str_digits).
        if any(each.tag == "tag:yaml.org,2002:int" and len(each.value) > 3000 for each in nodes):
            raise ValueError("holds a number of more than 3,000 digits")
        return (loader.construct_document(node) if node else None), twice(nodes)
    except yaml.YAMLError as error:
        raise ValueError(not_yaml(error, text)) from None
    except (TypeError, LookupError, AttributeError, OverflowError):
        raise ValueError("is not valid YAML: a value is not what its tag says") from None
