"""What is wrong with user data in one system: findings about the whole, about its parts, and about its scripts."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator

from amigen.userdata import mime, packed
from amigen.userdata.arrival import Placed
from amigen.userdata.document import Document
from amigen.userdata.drop_ins import drop_ins
from amigen.userdata.finding import Finding, Reader, error, warning
from amigen.userdata.merge import early
from amigen.userdata.mime import Part
from amigen.userdata.own import is_own_script
from amigen.userdata.size import LIMIT
from amigen.userdata.systems import System

# cloud-init's own order: handlers of boothooks, modules, then those of cloud_final_modules (config/cloud.cfg.tmpl).
_STAGES = (mime.BOOTHOOK, mime.CLOUD_CONFIG, *mime.BY_FREQUENCY, mime.SHELL, "", mime.NODE_CONFIG)


def run_order(placed: Placed) -> tuple[int, str, int]:
    """Sorts parts by when they run: by stage, scripts of one stage by their names, all else by place."""
    type_ = mime.effective(placed.part).type
    stage = _STAGES.index(type_ if type_ in _STAGES else "")
    return stage, mime.run_name(placed.part, placed.place) if is_script(type_) else "", placed.place


def is_script(type_: str) -> bool:
    """Whether cloud-init stores it as a file and runs it, in the order of the names."""
    return type_ == mime.SHELL or type_ in mime.BY_FREQUENCY


def lint(document: Document, placed: tuple[Placed, ...], about: System, *, nodeadm: bool) -> Iterator[Finding]:
    """All findings about a document in a system, whose parts arrive as `placed`."""
    given = tuple(each.given for each in placed if each.given)
    yield from _size(document, about)
    yield from _wrapped(document, about)
    if about.accepts is None or document.type in about.accepts:
        for number, part in enumerate(given, 1):
            yield from _on_its_way(part, number, about)
    yield from _scripts(placed, about)
    configs = [part for part in given if part.type == mime.NODE_CONFIG]
    if len(configs) > 1:
        message = f"holds {len(configs)} NodeConfigs: nodeadm merges them in order, and the last wins"
        yield warning("", "several", message, "make them one")
    for number, part in enumerate(given, 1):
        code = _code(part) if nodeadm and part.type in _RUN and not is_own_script(part) else b""
        for path, what, hint, source in _GONE:
            if path.search(code):
                yield warning("", "bootstrap", f"part {number} {what}", hint, source)
        if not nodeadm and is_script(part.type) and not is_own_script(part):
            yield from _bootstrap_words(part, number)
    arrives = about.adds_most and (not about.node_config or any(each.given is None for each in placed))
    if arrives or any(_may_join(part, nodeadm=nodeadm) for part in given) or drop_ins(given):
        return
    what = "no NodeConfig" if nodeadm else "no call of /etc/eks/bootstrap.sh"
    message = f"nothing in it joins the node to a cluster: there is {what}"
    yield error("nodeadm" if nodeadm else "", "nothing-joins", message, "set join.eks", about.source)


def _size(document: Document, about: System) -> Iterator[Finding]:
    if document.size > LIMIT:
        hint = "bake more into the image, or --gzip where nothing has to be merged"
        yield error("ec2", "size", f"has {document.size} bytes; EC2 takes {LIMIT} (before base64)", hint)
    elif document.size + about.adds_most > LIMIT:
        least, most = about.adds_least, about.adds_most
        sure = document.size + least > LIMIT
        message = (
            f"has {document.size} bytes, and {about.title} adds {least} to {most} of its own; EC2 takes {LIMIT} in all"
        )
        hint = "bake files and hooks into the image"
        yield (error if sure else warning)("ec2", "size", message, hint, about.source)


def _wrapped(document: Document, about: System) -> Iterator[Finding]:
    """Types of a whole document, and what may be around it, that the system does not take."""
    if about.accepts is not None and document.type not in about.accepts:
        yield error("", "accepts", f"is {document.type}, and {about.title} {about.needs}", about.hint, about.source)
    for wrapping in document.wrapped:
        if wrapping in about.wrapped:
            continue
        if wrapping == "gzip":
            message = f"is gzip as a whole, and {about.title} must read it to merge its own part"
            hint = "without --gzip, scripts alone are packed where they must be"
        else:
            message = f"is base64 as a whole, and {about.title} takes text, and encodes it itself"
            hint = "without --base64"
        reader: Reader = "karpenter" if about.rewrites and document.wrapped == ("gzip",) else ""
        yield error(reader, "wrapped", message, hint, about.source)


def _on_its_way(part: Part, number: int, about: System) -> Iterator[Finding]:
    """What the system does to one part."""
    if about.headers is None:
        return
    hint = "write it in ASCII, without a transfer encoding"
    if part.type == mime.SHELL:
        hint = "amigen user-data --merge FILE packs scripts so that they need no header"
    coded = [how for how in part.wrapped if how in ("base64", "gzip")]
    if coded and part.type != mime.NODE_CONFIG:
        # nodeadm looks at the bytes of a NodeConfig, not at its headers (configprovider/encoding.go).
        then = "cannot unpack it, and gives up on all of the user data" if "gzip" in coded else "cannot read it"
        message = f"part {number} is {' and '.join(coded)}, and the header that says so is dropped: cloud-init {then}"
        yield error("", "coded", message, hint, about.source)
    program = re.match(rb"#!\s*(?:/\S*/)?(?:env[ \t]+)?([^\s/]+)", part.content)
    if about.prepends and part.type == mime.SHELL and program and not program[1].endswith(b"sh"):
        name = program[1].decode("utf-8", "replace")
        message = (
            f"part {number} is written for {name}, and eksctl puts `{about.prepends.strip()}` before it: bash runs it"
        )
        hint = f"call {name} from a script for bash"
        yield error("eksctl", "shell", message, hint, about.source)
    lost = [key for key, _ in part.headers if key.lower() not in about.headers]
    if lost:
        message = f"part {number} arrives without its {', '.join(lost)}"
        hint = "write `merge_how` into the cloud-config" if any("merge-type" in key.lower() for key in lost) else ""
        yield warning("", "headers", message, hint, about.source)


def _scripts(placed: tuple[Placed, ...], about: System) -> Iterator[Finding]:
    scripts = [
        (mime.run_name(each.part, each.place), each) for each in placed if mime.effective(each.part).type == mime.SHELL
    ]
    own = next((name for name, each in scripts if _is_own(each)), None)
    for name, times in Counter(name for name, _ in scripts).items():
        if times > 1:
            message = f"{times} scripts are called {name}: cloud-init writes them to one file, and only the last runs"
            source = "cloudinit/handlers/shell_script.py"
            message += f" (parts {' and '.join(str(each.place) for other, each in scripts if other == name)})"
            yield error("cloud-init", "names", message, "give each a name of its own, or none", source)
    for name, each in scripts:
        filename = each.part.filename
        # Nothing is left of it, or no file can be called so.
        if filename and (mime.cleaned(filename) in ("", ".", "..") or len(mime.cleaned(filename)) > 255):
            message = (
                f"part {each.place} is called {filename[:30]!r}: cloud-init cannot write that file, and never runs it"
            )
            yield error("cloud-init", "names", message, "use letters", "cloudinit/util.py, clean_filename")
        if own and name < own and not _is_own(each):
            message = f"the script {name} runs before amigen's {own}: modules are not there yet"
            yield warning("", "order", message, "amigen user-data --merge FILE puts it behind")
        if b"\r\n" in packed.unix_lines(mime.effective(each.part).content):
            message = f"the script {name} has DOS line endings, but not in its first line: cloud-init leaves them there"
            yield warning("", "line-ends", message, "save it with Unix line endings")
    if any(map(_is_own, placed)):
        for each in placed:
            if each.given and each.given.type in mime.BY_FREQUENCY:
                yield early(each.given)
    yield from _forgotten_order(placed, about)


def _is_own(placed: Placed) -> bool:
    return placed.given is not None and is_own_script(placed.given)


def _forgotten_order(placed: tuple[Placed, ...], about: System) -> Iterator[Finding]:
    """Scripts run in the order of their names, which the system may forget."""
    both = [(e.number, e.given, e.part) for e in placed if e.given and {e.given.type, e.part.type} == {mime.SHELL}]
    by_given = sorted(both, key=lambda each: mime.run_name(each[1], each[0]))
    if by_given != sorted(both, key=lambda each: mime.run_name(each[2], each[0])):
        message = "file names are dropped: scripts run in the order of the document, and not of their names"
        yield warning("", "order", message, "put them into that order", about.source)


_RUN = (mime.SHELL, mime.CLOUD_CONFIG, mime.BOOTHOOK, "text/plain", "text/jinja2", *mime.BY_FREQUENCY)
_BOOTSTRAP = re.compile(rb"/etc/eks/bootstrap\.sh")
_TEMPLATES = "amazon-eks-ami templates/al2023/runtime/rootfs"
# What scripts for Amazon Linux 2 do, and Amazon Linux 2023 has not.
_GONE = (
    (
        _BOOTSTRAP,
        "calls /etc/eks/bootstrap.sh, which was removed from Amazon Linux 2023: it fails",
        "write a NodeConfig",
        f"{_TEMPLATES}/etc/eks/bootstrap.sh",
    ),
    (
        re.compile(rb"/etc/kubernetes/kubelet/(kubelet-)?config\.json(?![.\w])"),
        "edits the kubelet's configuration, which nodeadm writes after all scripts on Amazon Linux 2023",
        "set spec.kubelet.config in a NodeConfig",
        "amazon-eks-ami nodeadm/internal/kubelet/config.go, karpenter-provider-aws issue 6251",
    ),
    (
        re.compile(rb"\b(KUBELET_EXTRA_ARGS|USE_MAX_PODS)="),
        "sets a variable of the bootstrap.sh of Amazon Linux 2, which nothing reads on Amazon Linux 2023",
        "set spec.kubelet.flags and spec.kubelet.config in a NodeConfig",
        "amazon-eks-ami nodeadm/internal/kubelet/environment.go, terraform-aws-eks issue 3420",
    ),
    (
        re.compile(rb"\bamazon-linux-extras\b"),
        "calls amazon-linux-extras, which Amazon Linux 2023 does not have",
        "dnf install",
        "https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html",
    ),
)
_JOINS = re.compile(rb"\bnodeadm[ \t\"',]+init\b|\bkubeadm[ \t\"',]+join\b")


def _bootstrap_words(part: Part, number: int) -> Iterator[Finding]:
    """Kubelet flags that bootstrap.sh takes for words of its own, the first of which is the cluster's name.

    Each of its options takes one word, so that several flags of --kubelet-extra-args need quotes around them all.
    """
    code = _code(part).decode("utf-8", "replace").replace("\\\n", " ")
    for line in re.findall(
        r"^[ \t]*(?:sudo[ \t]+)?(?:/bin/)?(?:ba|)(?:sh[ \t]+)?/etc/eks/bootstrap\.sh(.*)$", code, re.M
    ):
        try:
            words = shlex.split(
                re.split(r"[ \t]*(?:[;&|>]|2>)", line)[0] if "'" not in line and '"' not in line else line
            )
        except ValueError:
            continue  # the quotes end on another line
        own: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--kubelet-extra-args" or (word.startswith("--") and "=" not in word):
                words = words[1:]
            else:
                own.append(word)
        if "--kubelet-extra-args" in line and (flags := [word for word in own if word.startswith("--")]):
            lost = "takes it for the cluster's name" if own[0] == flags[0] else "ignores it"
            message = (
                f"part {number} calls bootstrap.sh with {flags[0][:40]} outside of --kubelet-extra-args, which {lost}"
            )
            hint = "put all kubelet flags into one pair of quotes: --kubelet-extra-args '--A=B --C=D'"
            source = "amazon-eks-ami templates/al2/runtime/bootstrap.sh"
            say = error if own[0] == flags[0] else warning
            yield say("", "bootstrap", message, hint, source)


def _code(part: Part) -> bytes:
    """Without comments."""
    return re.sub(rb"(?m)(^|[ \t;])#.*$", b"", mime.effective(part).content)


def _may_join(part: Part, *, nodeadm: bool) -> bool:
    """Whether the part joins the node, or may fetch or make what does; a word in a comment does not."""
    if part.type in (mime.NODE_CONFIG, "text/x-include-url", "text/x-include-once-url", "text/part-handler"):
        return True
    code = _code(part) if part.type in _RUN else b""
    return bool(_JOINS.search(code) or (not nodeadm and _BOOTSTRAP.search(code)))
