"""What cloud-init makes of the cloud-configs of a document: merged in order, and judged by the modules that run them.

Sources: cloudinit/handlers/cloud_config.py, cloudinit/mergers, cloudinit/config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from amigen.base import cloudyaml
from amigen.userdata.drop_ins import file_content
from amigen.userdata.finding import Finding, error, warning
from amigen.userdata.mime import Part

# Name of a merger -> its options; of two of one name the first counts.
Mergers = dict[str, list[str]]
_DEFAULT: Mergers = {"dict": ["replace"], "list": [], "str": []}
# Options with which values of a type are merged, and not replaced.
_DEEP = {"list": {"recurse_array", "recurse_list"}, "str": {"recurse_str"}, "dict": {"recurse_dict"}}
_BOTH = "list(append)+dict(no_replace,recurse_list)+str() keeps both"


def findings(configs: Iterable[tuple[int, Part]]) -> Iterator[Finding]:
    """What cloud-init ignores, replaces or fails at.

    Args:
        configs: The cloud-configs with their numbers in the document, in order.
    """
    whole: dict[str, Any] = {}
    owners: dict[str, int] = {}
    for number, part in configs:
        try:
            config, twice = cloudyaml.document(part.content)
            why = "" if isinstance(config, dict) else "is empty" if config is None else "is not a mapping"
        except ValueError as broken:
            config, twice, why = {}, (), str(broken)
        if why:
            message = f"part {number} is cloud-config and {why}: cloud-init ignores it"
            say = warning if config is None else error
            yield say("cloud-init", "cloud-config", message, "", "cloudinit/handlers/cloud_config.py")
            continue
        for key in twice:
            message = f"part {number} has {key}: cloud-init takes the last one"
            yield warning("cloud-init", "twice", message, "make them one", "cloudinit/util.py, load_yaml")
        yield from _misspelled(number, config)
        yield from _lists(number, config)
        yield from _left_out(number, config)
        try:
            mergers = _mergers(config, part)
            after = merged(whole, config, mergers)
        except ValueError as broken:
            message = f"part {number} {broken}: cloud-init ignores it"
            yield error("cloud-init", "merge", message, _BOTH, "cloudinit/mergers/__init__.py")
            continue
        for key, value in config.items():
            before, there = whole.get(key), after.get(key)
            if value and not _holds(there, value):
                message = (
                    f"`{key}` of part {number} is dropped: part {owners[key]} has one, and merge_how keeps that alone"
                )
                yield warning("cloud-init", "replaced", message, _BOTH, "cloudinit/mergers/m_dict.py")
                continue
            if before and not _holds(there, before):
                message = f"`{key}` of part {number} replaces `{key}` of part {owners[key]}, which is lost"
                hint = "add merge_how to the later one, or write one cloud-config"
                yield warning("cloud-init", "replaced", message, hint, "cloud-init issue 5866")
            owners[key] = number
        whole = after


def _holds(whole: Any, value: Any) -> bool:
    """Whether a value is in effect in a merged one."""
    if isinstance(value, dict):
        return isinstance(whole, dict) and all(_holds(whole.get(key), child) for key, child in value.items())
    if isinstance(value, list):
        return isinstance(whole, list) and all(child in whole for child in value)
    # A NaN is not equal to itself.
    return whole is value or bool(whole == value)


def _mergers(config: dict[str, Any], part: Part) -> Mergers:
    """How this part is merged into those before; the keys that say so are taken out of it.

    Raises:
        ValueError: cloud-init cannot read it, or it has no merger for mappings.
    """
    how = config.pop("merge_how", None)
    how = config.pop("merge_type", None) if how is None else how
    # Only so spelt: cloud-init looks them up in a plain mapping.
    header = next((text for name in ("Merge-Type", "X-Merge-Type") for key, text in part.headers if key == name), "")
    found = _named(how) if how is not None else []
    found += _named(header)
    out: Mergers = {}
    for name, options in found:
        if name.removeprefix("m_") not in _DEFAULT:
            raise ValueError(f"is merged by {name[:40]!r}, which cloud-init does not know")
        out.setdefault(name.removeprefix("m_"), options)
    if found and "dict" not in out:
        raise ValueError(f"is merged by {str(how or header)[:40]!r}, without dict()")
    return out or _DEFAULT


def _named(how: Any) -> list[tuple[str, list[str]]]:
    """Name and options of each merger (cloudinit/mergers/__init__.py, dict_extract_mergers, string_extract_mergers).

    Raises:
        ValueError: cloud-init cannot read it.
    """
    wrong = ValueError(f"has a way of merging that cloud-init cannot read, {str(how)[:40]!r}")
    found = []
    if isinstance(how, str):
        for name in filter(None, (each.lower().strip().replace("-", "_") for each in how.split("+"))):
            match = re.fullmatch(r"([a-z_][a-z0-9_]*)\((.*?)\)", name)
            if not match:
                raise wrong
            found.append((match[1], [word.strip() for word in match[2].split(",")]))
        return found
    try:
        for each in how:
            name, options = (each["name"], each["settings"]) if isinstance(each, dict) else (each[0], list(each[1:]))
            found.append((name.replace("-", "_").strip(), list(options)))
    except (TypeError, LookupError, AttributeError):
        raise wrong from None
    if not all(isinstance(option, str) for _, options in found for option in options):
        raise wrong
    return found


def merged(value: Any, new: Any, mergers: Mergers) -> Any:
    """Both values as one, as cloudinit/mergers/m_*.py; without a merger for its type the earlier value stays.

    Raises:
        ValueError: A list cannot take in what is no list.
    """
    name = type(value).__name__
    options = mergers.get(name)
    if options is None:
        return value
    if name == "str":
        return f"{value}{new}" if "append" in options else new
    if name == "dict":
        out = dict(value)
        for key, child in (new if isinstance(new, dict) else {}).items():
            if key not in out or "replace" in options:
                out[key] = child
            elif child is None and "allow_delete" in options:
                del out[key]
            elif isinstance(child, dict) or _DEEP.get(type(child).__name__, set()) & set(options):
                out[key] = merged(out[key], child, mergers)
        return out
    method = next((each for each in ("append", "prepend", "replace", "no_replace") if each in options), "replace")
    if not isinstance(new, list):
        if method == "replace":
            return new
        raise ValueError("merges a list with what is no list")
    if method in ("append", "prepend"):
        return [*value, *new] if method == "append" else [*new, *value]
    both = [
        (merged(old, child, mergers) if _DEEP.get(type(child).__name__, set()) & set(options) else child)
        if method == "replace"
        else old
        for old, child in zip(value, new, strict=False)
    ]
    return [*both, *value[len(both) :]]


_OFTEN = (
    "bootcmd",
    "mounts",
    "package_update",
    "package_upgrade",
    "packages",
    "runcmd",
    "ssh_authorized_keys",
    "write_files",
)


def _misspelled(number: int, config: dict[Any, Any]) -> Iterator[Finding]:
    """Keys like the ones that are used most, which cloud-init silently ignores."""
    for key in config:
        meant = get_close_matches(str(key).lower(), _OFTEN, 1, 0.86)
        if meant and key not in _OFTEN:
            message = f"cloud-init does not know `{str(key)[:40]}` of part {number}, and ignores it"
            source = "cloudinit/config/schemas/schema-cloud-config-v1.json"
            yield warning("cloud-init", "cloud-config-key", message, f"did you mean `{meant[0]}`?", source)


def _lists(number: int, config: dict[Any, Any]) -> Iterator[Finding]:
    """Lists of commands and files for which cloud-init's module fails."""
    for key, what, kinds, source in _LISTS:
        value = config.get(key) or []
        if not isinstance(value, list):
            message = f"`{key}` of part {number} is not a list: cloud-init does nothing of it"
            yield error("cloud-init", "module", message, f"begin each {what} with a hyphen", source)
            continue
        wrong = [entry for entry in value if not isinstance(entry, kinds)]
        if wrong:
            shown = "nothing" if wrong[0] is None else str(wrong[0])[:40]
            message = f"`{key}` of part {number} holds {shown}, which is no {what}: cloud-init does nothing of it"
            hint = "put a command with `: ` in it into quotes" if isinstance(wrong[0], dict) else f"write a {what}"
            yield error("cloud-init", "module", message, hint, source)
        elif words := [word for entry in value if isinstance(entry, list) for word in entry]:
            if odd := [word for word in words if isinstance(word, dict | list)]:
                message = f"`{key}` of part {number} holds {str(odd[0])[:40]} as a word of a command, which runs so"
                yield warning("cloud-init", "command", message, "put a word with `: ` in it into quotes", source)
        elif key == "write_files":
            yield from _files(number, value, source)


# What a module reads as such a type, where it is set.
_FILE = {"path": str, "encoding": str, "owner": str, "source": dict}
# Modes as people write them, which YAML reads as decimal numbers; 0644 it reads as octal.
_DECIMAL = (400, 440, 444, 500, 550, 555, 600, 640, 644, 660, 664, 666, 700, 750, 755, 770, 775, 777)


def _files(number: int, files: list[dict[str, Any]], source: str) -> Iterator[Finding]:
    for place, file in enumerate(files, 1):
        try:
            file_content(file)
            wrong = [key for key, kind in _FILE.items() if file.get(key) and not isinstance(file[key], kind)]
            why = f"has a wrong `{wrong[0]}`: {str(file[wrong[0]])[:40]}" if wrong else ""
        except ValueError as broken:
            why = f"has a content that cannot be decoded ({broken})"
        if why:
            message = f"entry {place} in `write_files` of part {number} {why}: cloud-init stops there"
            hint = "" if "wrong" in why else "encoding: b64, or gz+b64, or none"
            yield error("cloud-init", "module", message, hint, source)
            return
        mode = file.get("permissions")
        if isinstance(mode, int) and mode in _DECIMAL:
            message = (
                f"entry {place} in `write_files` of part {number} gets the mode {mode:04o}: {mode} is a decimal number"
            )
            yield warning("cloud-init", "mode", message, f"permissions: '0{mode}'", source)


_SHELLIFY = "cloudinit/util.py, shellify"
_COMMAND = (str, list, type(None))
_LISTS: tuple[tuple[str, str, tuple[type, ...], str], ...] = (
    ("bootcmd", "command", _COMMAND, _SHELLIFY),
    ("runcmd", "command", _COMMAND, _SHELLIFY),
    ("write_files", "mapping", (dict,), "cloudinit/config/cc_write_files.py"),
)


# A list of modules in user data replaces that of the image: module, what runs no more without it, and its list.
_MODULES = (
    ("cloud_final_modules", "scripts_user", "no script of the user data runs, and no runcmd"),
    ("cloud_config_modules", "runcmd", "no runcmd runs"),
    ("cloud_init_modules", "write_files", "no file of write_files is written"),
)


def _left_out(number: int, config: dict[str, Any]) -> Iterator[Finding]:
    for key, module, then in _MODULES:
        value = config.get(key)
        if not isinstance(value, list):
            continue
        names = [each[0] if isinstance(each, list) and each else each for each in value]
        if module not in [str(name).replace("-", "_") for name in names]:
            message = f"`{key}` of part {number} is without {module.replace('_', '-')}: {then}"
            hint = f"add {module.replace('_', '-')}, or remove `{key}`"
            yield error("cloud-init", "modules", message, hint, "cloudinit/config/modules.py")
