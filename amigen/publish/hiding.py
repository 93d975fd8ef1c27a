"""Hide what looks like a secret in somebody else's text, before it comes into a terminal or a log.

Rather too much than too little: behind the name of a secret the rest of the line is hidden. Names of files and
settings, references to variables and the like stay readable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "(hidden)"

# A name that ends in the word of a secret: `DB_PASSWORD`, `apiKey`, `X-Auth-Token`; not `passwordFile` or `tokenizer`.
_NAME = (
    r"(?<![\w.-])(?<!\d:)(?:[\w.-]*(?:(?i:password|passwd|passphrase|secret|token|credential|pgpass|dbpass"
    r"|(?:api|access|private|auth|signing|encryption)[-_.]?key)|[_-](?i:pass|pwd|pw))|pass|auth)s?(?![\w-])"
)
_SECRET_NAME = re.compile(_NAME)
# What a secret comes behind; the rest of the line is it.
_BEFORE = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME}(?:\\?[\"'])?\s*(?:=>|[:=](?!//))\s*",
        rf"(?<!\S)(?=-){_NAME}\s+(?=[^-<>|&;\s])",
        r"(?i:authorization)[\"']?\s*[:=]\s*(?:(?i:bearer|basic|token|digest)\s+)?",
        # curl -u user:password; a pair of numbers is a user and a group
        r"(?<!\S)(?:-u|-U|--user|--proxy-user)[ =]?\s*[\"']?(?!\d+:\d+\b)[^\s:\"'/=$]+:",
        r"\b(?:mysql\w*|mariadb[\w-]*)\b.*?\s-p(?=\S)|\bsshpass\b.*?\s-p\s*|\bredis-cli\b.*?\s-a\s+",
        r"\bchpasswd\b[^<|;&]*<<<\s*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?=.)",
    )
)
_HARMLESS = re.compile(
    r"(?i)[\"']?(?:true|false|yes|no|on|off|null|none|required|optional|enabled|disabled|~|\{\}|\[\]|[|>][-+0-9]*)?"
    r"[\"']?[,;}\s]*|[\"']?(?:\$\(|`|\$\{?[A-Za-z_]\w*).*|\(hidden\).*"
)
_WITHIN = (
    # user:password@ of an address
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://[^\s/@:\"']*:)[^\s/@\"']+@"), rf"\1{HIDDEN}@"),
    # What is told to a program that takes a password from its input.
    (
        re.compile(
            r"(\b(?:echo|printf)\s+)(?![\"']?\$\{?\w+\}?[\"']?\s*\|)[^|]+?"
            r"(\s*\|\s*(?:sudo\s+)?(?:chpasswd|passwd\s[^|]*--stdin|[^|]*--password-stdin|openssl\s+passwd\b))"
        ),
        rf"\1{HIDDEN}\2",
    ),
    # By their form alone: keys of AWS, tokens of GitHub, GitLab, Slack, npm, Google, Stripe, Vault, kubeadm; JWT.
    (
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
            r"|xox[abeprs]-[\w-]{10,}|npm_[A-Za-z0-9]{30,}|AIza[\w-]{30,}|[sr]k_live_\w{16,}|hvs\.[\w-]{16,}"
            r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|[a-z0-9]{6}\.[a-z0-9]{16})(?![\w-])"
        ),
        HIDDEN,
    ),
)


def is_secret_name(name: str) -> bool:
    """Does a variable, key or option of this name hold a secret?"""
    return bool(_SECRET_NAME.fullmatch(name))


def hide_secrets(line: str) -> str:
    """One line without what looks like a secret."""
    for pattern, replacement in _WITHIN:
        line = pattern.sub(replacement, line)
    for pattern in _BEFORE:
        for match in pattern.finditer(line):
            if not _HARMLESS.fullmatch(line, match.end()):
                line = line[: match.end()] + HIDDEN
                break
    return line


_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----\s*$")
_PEM_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY")
_HEREDOC = re.compile(r"(?:\bchpasswd\b|--password-stdin|--stdin)[^<]*<<-?\s*[\"']?(\w+)")
_BLOCK = re.compile(r"^(\s*(?:- +)?)[\"']?([\w.-]+)[\"']?:\s*(?:[|>][-+0-9]*)?\s*$")
_ONLY_KEY = re.compile(r"\s*|\s*(?:- +)?[\w.-]+:\s*(?:[|>][-+0-9]*|(?i:true|false))?\s*")
_NAMED = re.compile(r"^\s*(?:- +)?[\"']?(?i:name|key)[\"']?:\s*[\"']?([\w.-]+)[\"']?,?\s*$")
_VALUE = re.compile(r"^(\s*(?:- +)?[\"']?(?i:value)[\"']?:\s*)(?=\S)(.*)$")


def hide_in(lines: Sequence[str]) -> list[str]:
    """The lines of a document, each without what looks like a secret; also those that only their neighbours tell."""
    out: list[str] = []
    named = False
    while len(out) < len(lines):
        line = lines[len(out)]
        value, name = _VALUE.match(line), _NAMED.match(line)
        hidden = named and value and not _HARMLESS.fullmatch(value[2])
        out.append(value[1] + HIDDEN if hidden and value else hide_secrets(line))
        named = bool(name and is_secret_name(name[1]))
        for inside in lines[len(out) : _end_of_block(lines, len(out))]:
            out.append(inside if _ONLY_KEY.fullmatch(inside) else f"{inside[: _indent(inside)]}{HIDDEN}")
    return out


def _end_of_block(lines: Sequence[str], after: int) -> int:
    """Where the secret ends that the line before has begun (a key, a here-document, a YAML block); else right there."""
    line = lines[after - 1]
    heredoc, block = _HEREDOC.search(line), _BLOCK.match(line)
    if _PEM_BEGIN.search(line):
        ends = [bool(_PEM_END.search(each)) for each in lines[after:]]
    elif heredoc:
        ends = [each.strip() == heredoc[1] for each in lines[after:]]
    elif block and (block[2] == "chpasswd" or (is_secret_name(block[2]) and not line.rstrip().endswith(":"))):
        ends = [bool(each.strip()) and _indent(each) <= len(block[1]) for each in lines[after:]]
    else:
        return after
    return after + (ends.index(True) if True in ends else len(ends))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
