"""Hide what looks like a secret in somebody else's text, before it comes into a terminal or a log.

Rather too much than too little; but names of files and settings, references to variables and the like stay readable.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

HIDDEN = "(hidden)"

# -- names -------------------------------------------------------------------------------------------------------------
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = {"password", "passwd", "passphrase", "secret", "token", "credential", "credentials", "pgpass", "dbpass"}
_SECRET_ENDS = ("password", "passwd", "passphrase", "authtoken", "apikey", "secretkey", "accesskey", "privatekey")
_SECRET_KEYS = {"api", "access", "private", "secret", "auth", "encryption", "signing"}
_SHORT = {"pass", "pwd", "pw"}
# Names of something about a secret.
_ABOUT = {
    "file",
    "path",
    "dir",
    "ttl",
    "name",
    "type",
    "length",
    "url",
    "uri",
    "endpoint",
    "policy",
    "count",
    "mode",
    "ref",
}
_ABOUT |= {"seconds", "stdin", "arn"}
_PLAIN_VALUES = re.compile(
    r"(?i)(?:true|false|yes|no|on|off|null|none|required|optional|enabled|disabled|~|\{\}|\[\]|[|>][-+0-9]*)[,;]?"
    # The lookups of /etc/nsswitch.conf, whose first line is `passwd:`.
    r"|(?:(?:files|sss|compat|systemd|nis|ldap|db|winbind|mymachines|\[\S+\])\s*)+"
)


def is_secret_name(name: str) -> bool:
    """Does a variable, key or option of this name hold a secret?"""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ABOUT or "ttl" in words or words[-2:] == ["cert", "hash"]:
        return False
    if words in (["auth"], ["pass"]) or (words[-1] in _SHORT and len(words) > 1):
        return True
    pairs = any(first in _SECRET_KEYS and second == "key" for first, second in itertools.pairwise(words))
    return pairs or any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words)


# -- forms -------------------------------------------------------------------------------------------------------------
# A word of a shell: quoted parts and others together; a quote that is not closed goes to the end of the line.
_WORD = r"""(?:\\"(?:(?!\\").)*\\"|"(?:\\.|[^"\\])*"|'[^']*'|\\.|["'].*$|[^\s;&|"'\\<>()])+"""
_ASSIGNED = re.compile(
    r"""(?P<name>(?<![\w.-])[\w.-]+)(?:\\?["'])?(?P<sign>\s*=>\s*|\s*:\s+|\s*:(?=\S)|\s*=\s*)(?=\S)(?!//)"""
)
_OPTION = re.compile(rf"(?<!\S)--?(?P<name>[A-Za-z][\w-]*)(?P<sign>\s+)(?P<value>(?![-<>|&;]){_WORD})")
_REFERENCE = re.compile(r"""["']?(?:\$\(.*|`.*|\$\{?[A-Za-z_]\w*\}?["']?[,;]?)$""")
_WHOLE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # user:password@ of an address
        (r"(\b[a-zA-Z][\w+.-]*://[^\s/@:\"']*:)[^\s/@\"']+@", rf"\1{HIDDEN}@"),
        # curl -u user:password; a pair of numbers is a user and a group
        (
            r"((?<!\S)(?:-u|-U|--user|--proxy-user)[ =]?\s*[\"']?(?!\d+:\d+\b)[^\s:\"'/=$]+:)[^\s\"']+",
            rf"\1{HIDDEN}",
        ),
        (
            r"((?i:authorization)[\"']?\s*[:=]\s*[\"']?(?:(?i:bearer|basic|token|digest)\s+)?)(?!\$)[^\s\"']+",
            rf"\1{HIDDEN}",
        ),
        (r"(\b(?:mysql\w*|mariadb[\w-]*|sshpass)\b.*?\s-p)(?!\s)\S+", rf"\1{HIDDEN}"),
        (r"(\bsshpass\b.*?\s-p\s+)\S+", rf"\1{HIDDEN}"),
        (r"(\bredis-cli\b.*?\s-a\s+)\S+", rf"\1{HIDDEN}"),
        # What is told to a program that takes a password from its input.
        (
            r"(\b(?:echo|printf)\s+(?:-\w+\s+)*)(?![\"']?\$\{?\w+\}?[\"']?\s*\|)[^|]+?"
            r"(\s*\|\s*(?:sudo\s+)?(?:chpasswd|passwd\s[^|]*--stdin|[^|]*--password-stdin|openssl\s+passwd\b))",
            rf"\1{HIDDEN}\2",
        ),
        (r"(\bchpasswd\b[^<|;&]*<<<\s*)\S.*", rf"\1{HIDDEN}"),
        # By their form alone: keys of AWS, tokens of GitHub, GitLab, Slack, npm, Google, Stripe, Vault, kubeadm; JWT.
        (
            r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
            r"|xox[abeprs]-[\w-]{10,}|npm_[A-Za-z0-9]{30,}|AIza[\w-]{30,}|[sr]k_live_\w{16,}|hvs\.[\w-]{16,}"
            r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|[a-z0-9]{6}\.[a-z0-9]{16})(?![\w-])",
            HIDDEN,
        ),
        (r"(-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----).+?(?=-----END|$)", rf"\1{HIDDEN}"),
    )
)


def hide_secrets(line: str) -> str:
    """One line without what looks like a secret."""
    for pattern, replacement in _WHOLE:
        line = pattern.sub(replacement, line)
    line = _OPTION.sub(_hidden_option, line)
    return "".join(_assignments_hidden(line))


def _hidden_option(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]) or match["name"].startswith("no-") or _harmless(match["value"]):
        return match[0]
    return f"{match[0][: match.start('value') - match.start()]}{HIDDEN}"


def _harmless(value: str) -> bool:
    plain = value.strip().rstrip(",")
    return bool(_PLAIN_VALUES.fullmatch(plain.strip("\"'")) or _REFERENCE.fullmatch(plain)) or HIDDEN in value


def _assignments_hidden(line: str) -> Iterator[str]:
    """The line in pieces, the values of secret names hidden."""
    at = 0
    while match := _ASSIGNED.search(line, at):
        begin = match.end()
        value = _value_at(line, match)
        word_begins = max(line.rfind(" ", 0, match.start()), line.rfind('"', 0, match.start())) + 1
        if not is_secret_name(match["name"]) or _harmless(value) or line.startswith("arn:", word_begins):
            yield line[at:begin]
            at = begin
            continue
        yield line[at:begin] + HIDDEN
        at = begin + len(value)
    yield line[at:]


def _value_at(line: str, match: re.Match[str]) -> str:
    """The value behind a name: a quoted one, or to the end of the line (YAML, ini), or one word (shell)."""
    begin = match.end()
    rest = line[begin:]
    word = re.match(_WORD, rest)
    if rest.startswith(("$(", "`")):
        return rest
    if rest[0] in "\"'\\" and word:
        return word[0]
    spoken = match["sign"] != "=" and match["sign"] != ":"
    if not spoken and word:
        return word[0]
    around = [quote for quote in "\"'" if line.count(quote, 0, begin) % 2]
    ends = [rest.find(quote) for quote in around if quote in rest]
    return rest[: min(ends)] if ends else rest


# -- several lines -----------------------------------------------------------------------------------------------------
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
        out.append(value[1] + HIDDEN if named and value and not _harmless(value[2]) else hide_secrets(line))
        named = bool(name and is_secret_name(name[1]))
        for inside in lines[len(out) : _end_of_block(lines, len(out))]:
            out.append(inside if _ONLY_KEY.fullmatch(inside) else f"{inside[: _indent(inside)]}{HIDDEN}")
    return out


def _end_of_block(lines: Sequence[str], after: int) -> int:
    """Where the secret ends that the line before has begun (a key, a here-document, a YAML block); else right there."""
    line = lines[after - 1]
    heredoc, block = _HEREDOC.search(line), _BLOCK.match(line)
    if _PEM_BEGIN.search(line):
        return _first(lines, after, lambda each: bool(_PEM_END.search(each)))
    if heredoc:
        return _first(lines, after, lambda each: each.strip() == heredoc[1])
    if block and (block[2] == "chpasswd" or (is_secret_name(block[2]) and not line.rstrip().endswith(":"))):
        return _first(lines, after, lambda each: bool(each.strip()) and _indent(each) <= len(block[1]))
    return after


def _first(lines: Sequence[str], begin: int, is_end: Callable[[str], bool]) -> int:
    return next((number for number in range(begin, len(lines)) if is_end(lines[number])), len(lines))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
