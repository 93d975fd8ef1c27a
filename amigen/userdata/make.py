"""User data of a plan, in the format that was asked for."""

from __future__ import annotations

import base64
import email
import json
import sys
from collections.abc import Callable, Iterator
from email.policy import compat32
from typing import Literal

import msgspec

from amigen.base.errors import InputError, Problem, SizeError
from amigen.base.gzipped import gzip
from amigen.checks.model import InstallGate
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS
from amigen.scripts.bootstrap import bootstrap_script
from amigen.userdata import mime
from amigen.userdata.explain import explain
from amigen.userdata.merge import merged
from amigen.userdata.mime import Part
from amigen.userdata.own import SCRIPT_NAME, SCRIPT_PATH
from amigen.userdata.packed import pack
from amigen.userdata.size import LIMIT, NODE_CONFIG_MOST, size_of

Format = Literal["shell", "cloud-config", "mime"]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A document, ready for EC2 (before base64), and what its user should know about it."""

    content: bytes
    notes: tuple[Problem, ...] = ()


def default_format(plan: ImagePlan) -> Format:
    """MIME where other parts travel with it, or where EKS may merge its own and takes nothing else."""
    spec = plan.spec
    mime_ = _by_nodeadm(plan) or spec.join.eks is not None or spec.user_data.merge is not None
    return "mime" if mime_ else "shell"


def user_data(
    plan: ImagePlan, *, format_: Format | None = None, merge: bytes | None = None, gzip_: bool | None = None
) -> bytes:
    """One document, ready for EC2 (before base64).

    Args:
        plan: The plan of one platform.
        format_: None takes `default_format`.
        merge: Existing user data of any kind, to put in its right place; only in MIME. None: there is none, and the
            spec names none (`amigen.spec.load.existing_user_data` reads the file that it names).
        gzip_: Pack the whole document, or nothing; None packs scripts alone, in a form that every system passes on,
            and only where the document would be too large.

    Raises:
        SizeError: Over EC2's limit in every allowed form; names the sizes by part.
        InputError: The format cannot carry what is to be carried, or `merge` cannot be read.
    """
    return make(plan, format_=format_, merge=merge, gzip_=gzip_).content


def make(
    plan: ImagePlan, *, format_: Format | None = None, merge: bytes | None = None, gzip_: bool | None = None
) -> Made:
    """As `user_data`, with notes on what was done to existing parts, and on room that others may need."""
    if merge is None and plan.spec.user_data.merge is not None:
        message = f"the spec merges {plan.spec.user_data.merge} into its user data, and the content is not given"
        raise InputError(message, "pass merge=existing_user_data(spec, path of the spec)")
    merge = merge or b""
    chosen: Format = format_ or ("mime" if merge else default_format(plan))
    script = bootstrap_script(plan, user_data=True).encode()
    joins = plan.spec.join.eks is not None and _by_nodeadm(plan)
    if chosen != "mime" and (joins or merge):
        what = "the NodeConfig that joins the cluster" if joins else "the user data to merge"
        raise InputError(f"the format {chosen} cannot carry {what}", "use --format mime")
    if chosen == "mime":
        parts, notes = merged(plan, script, merge)
    else:
        parts, notes = (Part(type=mime.SHELL, content=script, filename=SCRIPT_NAME, origin="amigen"),), []
    # Where the spec joins by itself, nothing else is added to these bytes.
    reserve = NODE_CONFIG_MOST if chosen == "mime" and _by_nodeadm(plan) and not joins else 0
    document = _fit(parts, chosen, gzip_, reserve, plan.gate)
    if merge:
        _refuse_what_explain_refuses(document, plan, joins=joins)
    if len(document) + reserve > LIMIT:
        notes.append(tight(len(document), reserve))
    return Made(content=document, notes=tuple(notes))


def part_list(document: bytes) -> list[dict[str, str]]:
    """The parts of a MIME document of ours, as terraform-aws-eks takes them in `cloudinit_pre_nodeadm`.

    Each has `content_type` and `content`, and `filename` and `merge_type` where the part has them
    (variables of terraform-aws-eks, modules/_user_data/variables.tf).

    Raises:
        InputError: A part is no text, which JSON cannot carry.
    """
    found: list[dict[str, str]] = []
    for part in email.message_from_bytes(document, policy=compat32).walk():
        content = part.get_payload(decode=True)
        if part.is_multipart() or not isinstance(content, bytes):
            continue
        try:
            row = {"content_type": part.get_content_type(), "content": content.decode()}
        except UnicodeDecodeError:
            raise InputError(
                f"part {len(found) + 1} is not UTF-8 text, which JSON requires", "use --format mime"
            ) from None
        extra = {"filename": part.get_filename(), "merge_type": part["Merge-Type"] or part["X-Merge-Type"]}
        found.append(row | {key: str(value) for key, value in extra.items() if value})
    return found


def external(document: bytes, *, multipart: bool) -> dict[str, str]:
    """The document as a flat object of text, which is all that Terraform's data source `external` takes.

    Returns:
        `user_data_base64`; and for MIME `parts`, a JSON text of `part_list`.

    Raises:
        InputError: A part is no text.
    """
    found = {"user_data_base64": base64.b64encode(document).decode()}
    return found | {"parts": json.dumps(part_list(document), ensure_ascii=False)} if multipart else found


def _refuse_what_explain_refuses(document: bytes, plan: ImagePlan, *, joins: bool) -> None:
    """A merged document has to be one that `explain` has no error for.

    Raises:
        InputError: It is not; names what is wrong and where.
    """
    # Where the spec does not join, another system adds the cluster.
    others = {"size"} if joins else {"size", "nothing-joins", "cluster", "drop-in-only"}
    version = plan.spec.kubernetes_version
    found = explain(document, "self-managed", nodeadm=_by_nodeadm(plan), version=version).problems
    errors = [p for p in found if p.severity == "error" and p.rule not in others]
    if errors:
        lines = "\n".join(f"    {p.message}" for p in errors)
        raise InputError(f"the merged user data would not work:\n{lines}", errors[0].hint)


def tight(size: int, reserve: int) -> Problem:
    """The warning for a document that leaves too little room for the NodeConfig that another system adds."""
    message = (
        f"has {size} bytes, and a system that merges its NodeConfig into it adds about {reserve}: EC2 takes {LIMIT}"
    )
    hint = "bake files and hooks into the image (amigen build)"
    return Problem(severity="warning", message=message, hint=hint)


def cloud_config(script: bytes, *, packed: bool = False) -> bytes:
    """The script as cloud-config: written as a file, run by runcmd, whose failure cloud-init reports."""
    file = {"path": SCRIPT_PATH, "owner": "root:root", "permissions": "0700", "content": script.decode()}
    if packed:
        # https://cloudinit.readthedocs.io/en/latest/reference/modules.html#write-files
        file |= {"encoding": "gz+b64", "content": base64.b64encode(gzip(script)).decode()}
    # With a cloud-config before it, lists of both stay, and amigen's commands come first; else this one replaces them
    # (https://cloudinit.readthedocs.io/en/latest/reference/merging.html).
    how = [{"name": "list", "settings": ["prepend"]}, {"name": "dict", "settings": ["no_replace", "recurse_list"]}]
    document = {"merge_how": how, "write_files": [file], "runcmd": [["bash", SCRIPT_PATH]]}
    # JSON is YAML; its strings need no rules of indentation, whatever the script holds.
    return b"#cloud-config\n" + json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _by_nodeadm(plan: ImagePlan) -> bool:
    return PLATFORMS[plan.platform].joins_by == "nodeadm"


def _fit(
    parts: tuple[Part, ...], format_: Format, gzip_: bool | None, reserve: int, gate: InstallGate | None = None
) -> bytes:
    """The most readable form that fits.

    Raises:
        SizeError: None does.
    """
    if gzip_ is not None:
        plain = _plain(parts, format_)
        smallest = gzip(plain) if gzip_ else plain
    else:
        smallest = b""
        for form in _forms(parts, format_, LIMIT - reserve, gate):
            smallest = min(smallest or form, form, key=len)
            if len(smallest) + reserve <= LIMIT:
                break
    if len(smallest) > LIMIT:
        raise too_large(parts, len(smallest), gzip_helps=not gzip_ and len(gzip(_plain(parts, format_))) <= LIMIT)
    return smallest


def _plain(parts: tuple[Part, ...], format_: Format) -> bytes:
    return next(_forms(parts, format_, sys.maxsize))


def _forms(parts: tuple[Part, ...], format_: Format, room: int, gate: InstallGate | None = None) -> Iterator[bytes]:
    """The document as plain as it can be, then with amigen's script packed, then with all scripts packed.

    Args:
        parts: Its parts.
        format_: Its format.
        room: Bytes; a plain document whose contents alone take more is not written out.
        gate: What amigen's script installs.
    """
    script = parts[0].content
    if format_ == "cloud-config":
        yield cloud_config(script)
        yield cloud_config(script, packed=True)
    elif format_ == "shell":
        yield script
        yield pack(parts[0], gate).content
    else:

        def packed(which: Callable[[Part], bool]) -> tuple[Part, ...]:
            return tuple(pack(p, gate) if p.type == mime.SHELL and which(p) else p for p in parts)

        # A script that cannot stand in a plain part is packed at once: of base64 in a part, Karpenter drops the header.
        parts = packed(lambda part: not mime.is_plain(part.content))
        if sum(len(part.content) for part in parts) <= room:
            yield mime.write(parts)
        yield mime.write(packed(lambda part: part.origin == "amigen"))
        yield mime.write(packed(lambda _: True))


def too_large(parts: tuple[Part, ...], total: int, *, gzip_helps: bool = False) -> SizeError:
    """The error for user data over the limit, with the sizes by part."""
    lines = [f"user data has {total} bytes; EC2 takes {LIMIT} (before base64)"]
    for part in parts:
        size = size_of(part.content)
        name = f" {part.filename}" if part.filename else ""
        lines.append(f"    {part.origin}: {part.type}{name}: {size.raw} bytes, {size.gzip} as gzip")
    hint = "bake files and hooks into the image (amigen build) and keep user data small, or fetch large files in a hook"
    if gzip_helps:
        hint = f"--gzip, where the nodes are self-managed and nothing has to be merged; else {hint}"
    return SizeError("\n".join(lines), hint)
