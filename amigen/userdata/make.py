"""User data of a plan, in the format that was asked for."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Literal

import msgspec

from amigen.errors import InputError, SizeError
from amigen.knowledge import PLATFORM_FACTS
from amigen.plan.model import ImagePlan
from amigen.render.join import node_config
from amigen.render.script import bootstrap_script
from amigen.spec.model import Eks
from amigen.userdata import mime
from amigen.userdata.mime import Part
from amigen.userdata.size import LIMIT, gzip, size_of

Format = Literal["shell", "cloud-config", "mime"]
# Scripts run in the order of these names (cloudinit/subp.py, runparts), and cloud-init calls unnamed parts `part-NNN`.
SCRIPT_NAME = "00-amigen-bootstrap.sh"
SCRIPT_PATH = "/var/lib/amigen/bootstrap.sh"


def default_format(plan: ImagePlan) -> Format:
    """MIME where a NodeConfig has to travel with it, or where EKS may merge its own and takes nothing else."""
    by_nodeadm = PLATFORM_FACTS[plan.platform].joins_by == "nodeadm"
    return "mime" if by_nodeadm or plan.spec.join.eks is not None else "shell"


def user_data(
    plan: ImagePlan, *, format_: Format | None = None, merge: bytes = b"", gzip_: bool | None = None
) -> bytes:
    """One document, ready for EC2 (before base64).

    Args:
        plan: The plan of one platform.
        format_: None takes `default_format`.
        merge: Existing user data of any kind, to put in its right place; only in MIME.
        gzip_: Pack the whole document; None packs only what is over the limit: of a MIME document the scripts alone,
            so that EKS can still merge it.

    Raises:
        SizeError: Over EC2's limit in every allowed form; names the sizes by part.
        InputError: The format cannot carry what is to be carried, or `merge` cannot be read.
    """
    chosen: Format = format_ or ("mime" if merge else default_format(plan))
    script = bootstrap_script(plan, user_data=True).encode()
    by_nodeadm = plan.spec.join.eks is not None and PLATFORM_FACTS[plan.platform].joins_by == "nodeadm"
    if chosen != "mime" and (by_nodeadm or merge):
        what = "the NodeConfig that joins the cluster" if by_nodeadm else "the user data to merge"
        raise InputError(f"the format {chosen} cannot carry {what}", "use --format mime")
    if chosen == "mime":
        parts = merged_parts(plan, script, merge)
        return _fit_mime(parts, gzip_=gzip_)
    document = script if chosen == "shell" else cloud_config(script)
    return _fit(document, (Part(type=mime.detect(document), content=document, origin="amigen"),), gzip_=gzip_)


def merged_parts(plan: ImagePlan, script: bytes, merge: bytes) -> tuple[Part, ...]:
    """The parts in the order that makes the modules be there before kubelet needs them.

    cloud-init applies cloud-config before any script, runs scripts in the order of their names, and nodeadm-run starts
    kubelet after all of them; nodeadm merges NodeConfigs in order, so that the spec's, being last, wins.
    """
    existing: tuple[Part, ...] = ()
    if merge:
        from amigen.userdata.document import parse

        existing = parse(merge).require()
    own = Part(type=mime.SHELL, content=script, filename=SCRIPT_NAME, origin="amigen")
    scripts = [part for part in existing if part.type == mime.SHELL]
    configs = [part for part in existing if part.type == mime.NODE_CONFIG]
    others = [part for part in existing if part not in scripts and part not in configs]
    eks = plan.spec.join.eks
    if eks and PLATFORM_FACTS[plan.platform].joins_by == "nodeadm":
        configs.append(Part(type=mime.NODE_CONFIG, content=node_config_document(eks), origin="amigen"))
    return (*others, own, *scripts, *configs)


def node_config_document(eks: Eks) -> bytes:
    """The NodeConfig as YAML, with its keys in a stable order."""
    return _dumped(msgspec.json.encode(eks))


# Nodes of one cluster share it, and PyYAML takes longer for it than all the rest of a document.
@lru_cache(maxsize=64)
def _dumped(encoded: bytes) -> bytes:
    import yaml

    eks = msgspec.json.decode(encoded, type=Eks)

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    config = node_config(eks)
    document: bytes = yaml.dump(
        config, Dumper=dumper, sort_keys=False, width=4096, encoding="utf-8", allow_unicode=True
    )
    return document


def cloud_config(script: bytes) -> bytes:
    """The script as cloud-config: written as a file, run by runcmd, whose failure cloud-init reports."""
    document = {
        "write_files": [
            {
                "path": SCRIPT_PATH,
                "owner": "root:root",
                "permissions": "0700",
                "content": script.decode(),
            }
        ],
        "runcmd": [["bash", SCRIPT_PATH]],
    }
    # JSON is YAML; its strings need no rules of indentation, whatever the script holds.
    return b"#cloud-config\n" + json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _fit(document: bytes, parts: tuple[Part, ...], *, gzip_: bool | None) -> bytes:
    packed = gzip(document) if gzip_ or (gzip_ is None and len(document) > LIMIT) else document
    if len(packed) > LIMIT:
        raise too_large(parts, len(packed))
    return packed


def _fit_mime(parts: tuple[Part, ...], *, gzip_: bool | None) -> bytes:
    # A document is longer than its parts: no need to write one to see that it will not do.
    pack = gzip_ is None and sum(len(part.content) for part in parts) > LIMIT
    document = mime.write(parts, pack=pack)
    if gzip_ is None and not pack and len(document) > LIMIT:
        document = mime.write(parts, pack=True)
    return _fit(document, parts, gzip_=bool(gzip_))


def too_large(parts: tuple[Part, ...], total: int) -> SizeError:
    """The error for user data over the limit, with the sizes by part."""
    lines = [f"user data has {total} bytes; EC2 takes {LIMIT} (before base64)"]
    for part in parts:
        size = size_of(part.content)
        name = f" {part.filename}" if part.filename else ""
        lines.append(f"    {part.origin}: {part.type}{name}: {size.raw} bytes, {size.gzip} as gzip")
    hint = "bake files and hooks into the image (amigen build) and keep user data small, or fetch large files in a hook"
    return SizeError("\n".join(lines), hint)
