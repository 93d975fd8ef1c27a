"""What is amigen's own in user data: the names of its parts, and how they are known again."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from amigen.checks.cloud_init import BOOTSTRAP
from amigen.scripts.join import node_config
from amigen.spec.model import Eks
from amigen.userdata import mime
from amigen.userdata.mime import Part

# Scripts run in the order of these names (cloudinit/subp.py, runparts), and cloud-init calls unnamed parts `part-NNN`.
SCRIPT_NAME = "00-amigen-bootstrap.sh"
NODE_CONFIG_NAME = "amigen-node-config.yaml"
# Where the format cloud-config puts the script.
SCRIPT_PATH = BOOTSTRAP
# The first lines of every bootstrap script; without a name, or where a system forgot it, they tell it from others.
_SCRIPT_HEAD = b"#!/usr/bin/env bash\n# amigen "


def is_own_script(part: Part) -> bool:
    """Whether some amigen made this script."""
    head = part.content.startswith(_SCRIPT_HEAD)
    return part.type == mime.SHELL and (head or mime.cleaned(part.filename) == SCRIPT_NAME)


def is_own_cloud_config(part: Part) -> bool:
    """Whether some amigen made this cloud-config: it writes the script, runs it, and does nothing else."""
    head, _, body = part.content.lstrip().partition(b"\n")
    if part.type != mime.CLOUD_CONFIG or head.strip() != b"#cloud-config" or not body.lstrip().startswith(b"{"):
        return False
    try:
        config = json.loads(body)
        paths = [file["path"] for file in config["write_files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    mine = set(config) <= {"merge_how", "write_files", "runcmd"} and config.get("runcmd") == [["bash", SCRIPT_PATH]]
    return mine and paths == [SCRIPT_PATH]


def is_own_node_config(part: Part) -> bool:
    """Whether some amigen made this NodeConfig."""
    return part.type == mime.NODE_CONFIG and part.filename == NODE_CONFIG_NAME


def node_config_document(eks: Eks) -> bytes:
    """The NodeConfig as YAML, with its keys in a stable order."""
    return yaml_for_go(node_config(eks))


def yaml_for_go(document: Any) -> bytes:
    """YAML that Go's parsers read as it was meant, with the keys in their order, and several lines as several lines."""
    written: bytes = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=4096, encoding="utf-8", allow_unicode=True
    )
    return written


# Text that PyYAML writes bare, and that Go reads as a number or a boolean (sigs.k8s.io/yaml goyaml.v2/resolve.go).
_NOT_TEXT_IN_GO = re.compile(r"[-+]?[.0-9][0-9a-fA-F._xobeE+-]*|[yYnN]")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes text so that Go reads text, and several lines as several lines."""

    def represent_text(self, text: str) -> Any:
        style = "|" if "\n" in text.rstrip("\n") else "'" if _NOT_TEXT_IN_GO.fullmatch(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(str, _Dumper.represent_text)
