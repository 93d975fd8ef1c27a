"""What nodeadm, Karpenter and cloud-init refuse, drop or run otherwise than it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes

from amigen.spec.kubelet_values import setting
from amigen.userdata import cloud_config, mime
from amigen.userdata.document import Document
from amigen.userdata.finding import Finding, error, note, warning
from amigen.userdata.mime import Part
from amigen.userdata.systems import System

_NODEADM = "nodeadm internal/configprovider/mime.go, Go's net/mail and mime/multipart"
# Types for which cloud-init 22 to 25 has a handler, or which it opens itself.
_HANDLED = {type_ for _, type_ in mime.SIGNS} | {mime.NODE_CONFIG, mime.MULTIPART, *mime.BY_FREQUENCY}
_UNTYPED = ("text/plain", "text/x-not-multipart")


def go_findings(document: Document, about: System, *, nodeadm: bool) -> Iterator[Finding]:
    """What Go refuses of the MIME document that arrives: an error where nodeadm reads it, else a note."""
    refusal = document.go.refusal() if document.type == mime.MULTIPART else None
    if refusal is None:
        return
    rule, line, hint = f"mime-{refusal.rule}", refusal.line, refusal.hint
    place = f"line {line}: {refusal.message}"
    if not nodeadm:
        yield note("", rule, f"{place}; programs written in Go refuse that", line=line)
        return
    if about.rewrites:
        place, line = f"in what {about.title} makes of it: {refusal.message}", 0
        if rule != "mime-media type":
            hint = "Karpenter's boundary is //: change lines that begin with --//"
    message = f"{place}: nodeadm refuses the document, and the node never joins"
    yield error("nodeadm", rule, message, hint, _NODEADM, line)


def cloud_init_findings(parts: tuple[Part, ...], about: System) -> Iterator[Finding]:
    """What cloud-init drops, ignores or replaces."""
    configs: list[tuple[int, Part]] = []
    for number, part in enumerate(parts, 1):
        if part.type in ("text/x-include-url", "text/x-include-once-url"):
            message = (
                f"part {number} includes other user data by URL: cloud-init runs nothing at all if one is unreachable"
            )
            hint = "put the content into the document"
            yield warning("cloud-init", "include", message, hint, "cloudinit/user_data.py, _do_include")
        if part.type not in _HANDLED and part.type not in _UNTYPED:
            message = (
                f"part {number} is of the type {part.type[:60]!r}, for which cloud-init has no handler: it ignores it"
            )
            hint = "separate parameters of Content-Type by `;`" if " " in part.type else "name a type that it knows"
            yield error("cloud-init", "type", message, hint, "cloudinit/handlers/__init__.py")
        if part.type != mime.NODE_CONFIG and mime.detect(part.content) == mime.NODE_CONFIG:
            message = f"part {number} is a NodeConfig by its content, and {part.type} by its type: nodeadm ignores it"
            hint = f"Content-Type: {mime.NODE_CONFIG}"
            yield warning("nodeadm", "type", message, hint, _NODEADM)
        if part.type == "text/jinja2" and (why := _unrendered(part.content)):
            message = f"part {number} is a jinja template {why}: cloud-init drops it"
            hint = "write `{% raw %}` and `{% endraw %}` around what is not for jinja, such as ${#list[@]}"
            yield error("cloud-init", "jinja", message, hint, "cloudinit/handlers/jinja_template.py")
        if not about.prepends and (why := _no_exec(mime.effective(part))):
            hint = "begin it with #!/usr/bin/env bash, in its first byte"
            yield error("cloud-init", "shebang", f"part {number} {why}: cloud-init cannot run it", hint, _RUN)
        if part.type == mime.CLOUD_CONFIG:
            configs.append((number, part))
    yield from cloud_config.findings(configs)


_RUN = "cloudinit/subp.py; cloudinit/handlers/boot_hook.py; execve(2)"


def _no_exec(part: Part) -> str:
    """Why the kernel cannot run the file that cloud-init makes of a script; empty where it can.

    Of a boothook cloud-init takes off the first line that says so, and white space; of other scripts nothing.
    """
    content = part.content
    if part.type == mime.BOOTHOOK:
        content = content.removeprefix(b"#cloud-boothook").lstrip()
    elif part.type not in (mime.SHELL, *mime.BY_FREQUENCY):
        return ""
    if not content.startswith(b"#!"):
        blank = "has an empty line or blanks before #!"
        what = blank if content.lstrip().startswith(b"#!") else "does not begin with #!"
        return f"is a shell script by its type, and {what} (Exec format error)"
    program, *rest = content[2:].partition(b"\n")[0].decode("utf-8", "replace").strip(" \t\r").split(None, 1) or [""]
    name, argument = program.rpartition("/")[2], "".join(rest)
    if not program:
        return "names no program after #! (Exec format error)"
    if name == program:
        return f"names the program {program[:40]!r} after #! without its folder (No such file or directory)"
    # All that follows the program is one argument, blanks and comments too.
    one = re.search(r"[ \t]", argument) and (
        not argument.startswith(("-S", "-vS", "--split-string")) if name == "env" else re.fullmatch(r"\w*sh", name)
    )
    return f"hands {argument[:40]!r} to {name} as one argument" if one else ""


def _unrendered(content: bytes) -> str:
    """Why cloud-init renders nothing of a template; empty where only its variables decide that."""
    head, _, body = content.decode("utf-8", "replace").partition("\n")
    if not re.match(r"(?i)##\s*template:\s*jinja\s*$", head):
        return "by its type, and its first line is not `## template: jinja`"
    # As cloudinit/templater.py. Parsed only: to compile a template, jinja2 computes its constants, however large.
    environment = jinja2.sandbox.SandboxedEnvironment(trim_blocks=True, extensions=["jinja2.ext.do"])
    try:
        tree = environment.parse(body)
        named: list[tuple[str, Any, Any]] = [
            ("filter", each, environment.filters) for each in tree.find_all(nodes.Filter)
        ]
        named += [("test", each, environment.tests) for each in tree.find_all(nodes.Test)]
    except jinja2.TemplateSyntaxError as wrong:
        return f"that cannot be rendered (line {wrong.lineno + 1} of the part: {wrong.message})"
    except RecursionError:
        return "that cannot be rendered (it is nested too deeply)"
    except ValueError:
        return "that cannot be rendered (a number in it is too long)"
    for what, node, known in named:
        if node.name not in known:
            return f"that cannot be rendered (line {node.lineno + 1} of the part: there is no {what} {node.name!r})"
    return ""


def beaten(config: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Kubelet flags that beat a field of kubelet's configuration: the flag, the field, and its value."""
    kubelet = config.get("spec", {}).get("kubelet", {})
    words = [flag for flag in kubelet.get("flags", ()) if isinstance(flag, str)]
    flags = {setting(word.split("=", 1)[0].lstrip("-").replace("_", "-")): word for word in words}
    flags.pop("featuregates", None)  # gate by gate
    left = [("", kubelet.get("config") or {})]
    while left:
        path, value = left.pop()
        if flag := flags.get(path.lower()):
            yield flag, path, value
        elif isinstance(value, dict):
            left += [(f"{path}.{key}" if path else key, value[key]) for key in reversed(value)]
