"""A thousand hostile strings, kept as `strings.json`; `python -m tests.hostile.corpus` writes it anew from the seeds.

A seed means harm in one language or reader; the file also holds each in the company of quotes, line ends and text, since
much that is safe alone is not so at the end of a word. Where a string could be run, it makes a file named `canary`.
"""

# ruff: noqa: E501, RUF001 - a table of strings

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

FILE = Path(__file__).with_name("strings.json")
SIZE = 1000

SHELL = [
    "$(touch /canary)", "`touch /canary`", "; touch /canary", "| touch /canary", "& touch /canary", "\ntouch /canary\n", "${IFS}", "$HOME", "$$", "$'\\x41'",
    "'", "''", "'\\''", '"', '\\"', "\\", "\\\\", "\\\n", "\\n", "!!", "!-1", "~", "~root", "*", "?", "[a-z]", "{a,b}", "<(touch /canary)", ">(touch /canary)",
    "> /canary", "< /etc/passwd", "#", " # x", "=", "a=b", "-n", "-e", "--", "-", "\nEOF\n", "EOF", "<<EOF", "()", "() { :; }; touch /canary", "%s%n", "%(%s)T",
    "a[$(touch /canary)]", "x]=$(touch /canary)", "@", "]", "\" ]; touch /canary; [ \"", "${x:-$(touch /canary)}", "$((1+1))", "\\$(touch /canary)", "'$(touch /canary)'",
    "\"$(touch /canary)\"", "'\"'\"'", "\x1b[31m", "\x07", "\r", "\r\n", "\t", "\v", "\f", "\x7f", "\0", "a\0b",
]  # fmt: skip
TEMPLATES = [
    "{{ 7*7 }}", "{{ self.__init__.__globals__ }}", "{% raw %}", "{% endraw %}", "{# x #}", "{{", "}}", "{%", "{{ '{{' }}", "{{user `x`}}", "{{ .Vars }}", "{{build `ID`}}",
    "${jsonencode(1)}", "${var.x}", "%{ if true }x%{ endif }", "$${x}", "%%{x}", "$${", "%%{", "${", "%{", "${file(\"/etc/passwd\")}", "<<-EOT", "//", "/*", "*/",
    "{0}", "{x!r}", "%(x)s", "%s", "$x", "#{x}", "<%= x %>",
]  # fmt: skip
YAML = [
    "yes", "no", "null", "~", "1.0", "0644", "0x10", "1e3", "2024-01-01", "12:30:45", ": ", "a: b", "- a", "- ", "? a", "&a", "*a", "!!python/object/apply:os.system [id]",
    "!mine x", "|", ">", "|-", "---", "...", "\n---\n", "\n...\n", "# x", "a #b", "[", "{", "{a: b}", "[a, b]", "<<", "<<: *a", "%YAML 1.1", "@a", "`a", "\"a", "'a", ",", ":",
    "\ngate: true\n", "\n  mode: nftables", "=", "\ufeff", "a\tb", " a", "a ", "a\u00a0b",
]  # fmt: skip
PYTHON = [
    "\"\"\"", "'''", "\\N{BULLET}", "\\x41", "\\u0041", "\" + __import__('os').system('touch /canary') + \"", "' + x + '", "\"); import os; os.system('touch /canary')  # ", "f\"{x}\"",
    "__import__('os')", "%(name)s", "{}", "{0.__class__}",
]  # fmt: skip
MIME = [
    "--==boundary==", "\n--==amigen-0==\n", "\nContent-Type: text/x-shellscript\n\n#!/bin/sh\ntouch /canary\n", "MIME-Version: 1.0", "Content-Transfer-Encoding: base64", "\nFrom x\n", ".\n",
    "=\n", "=3D", "=?utf-8?b?eA==?=", "#!/bin/sh\ntouch /canary\n", "#cloud-config\nruncmd: [touch /canary]\n", "#include http://x\n", "## template: jinja\n{{ 1 }}", "\x1f\x8b\x08", "H4sIAAAA",
]  # fmt: skip
FILES = [
    "/", "//", "/.", "/..", "../../canary", "/etc/../canary", "/etc/passwd", "/etc/amigen/release.json", "/a/", "/tmp/x", "/proc/1/mem", "/dev/null", "a/b", ".", "..", "/" + "a" * 300, "/" + "a/" * 400 + "b",
    "/etc/it's", "/etc/$(touch /canary)", "/etc/`touch /canary`", "/etc/a b", "/etc/a\nb", "/etc/-rf", "/-rf", "/etc/*", "/etc/\\x2d", "/etc/ä", "/etc/\u2028", "/etc/%n", "/etc/{{ x }}", "/etc/${x}", "/etc/%{x}",
    "/etc/\"q\"", "/etc/a]b", "/etc/a[$(touch ..)]", "/etc/ lead", "/etc/trail ", "/etc/#x", "/etc/a'$'b", "/etc/\U0001f600", "/etc/a\u202eb", "file:///etc/passwd", "https://x/?a=$(touch /canary)", "http://u:p@h:1",
]  # fmt: skip
UNICODE = [
    "ä", "é́", "ß", "\U0001f600", "\u2028", "\u2029", "\x85", "\x9b31m", "\u200b", "\u202e", "\ufffe", "\uffff", "\U0010ffff", "İ", "ſ", "K", "٣", "Ⅷ", "ﬁ", "\u0000", "\u001f", "\u0301", "\u00ad", "１", "．", "／", "＄（id）",
]  # fmt: skip
LONG = ["a" * 300, "9" * 400, "$" * 200, "'" * 100, "\\" * 101, "\n" * 50, "{{" * 60, "ä" * 120, "a\0" * 20, " " * 80]
# Nearly right: what a pattern without an end, or with too wide a class, would let pass.
ALMOST = [
    "a\n", "1.34\n", "rr\n", "al2023 ", "us-east-1\n", "ami-0123456789abcdef0\n", "10.0.0.0/16\n", "/etc/x\n", "--v=1\n", "--v=$(touch /canary)", "--v='x'", "--v=\"x\"", "--v=%i", "k=v:NoSchedule\n", "AAAA\n", "AAA=\n",
    "ip_vs;touch", "ip_vs/../x", "ipvsadm=1", "ipvsadm -y", "-y", "1.0 ", "1.0;x", "0644\n", "root\n", "root:root", "99999999999", "00", "-1", "https://x\n", "https://x y", "https://$(touch /canary)", "x.internal,y", "aws:x", "t3.small\n",
    "alias/x;y", "arn:aws:kms:x", "name'", "a.b-c_d", "a" * 49, "net.core.x\n", "net.core.x;y", "-net.core.x", "kernel.core_pattern", "|/bin/sh -c 'touch /canary'", "1 2\t3",
]  # fmt: skip

SEEDS = [*SHELL, *TEMPLATES, *YAML, *PYTHON, *MIME, *FILES, *UNICODE, *LONG, *ALMOST, ""]
_COMPANY = [
    "a{}b",
    "'{}'",
    '"{}"',
    "{}\n",
    "\n{}",
    "$({})",
    "{{{{{}}}}}",
    "/etc/{}",
    "a={}",
    "{0}{0}",
    "--a={}",
    "\\{}",
]


def generate() -> list[str]:
    """The seeds, and then as many of them in company as there is room for, each once."""

    def every() -> Iterator[str]:
        yield from SEEDS
        for turn in range(len(_COMPANY)):
            for number, seed in enumerate(SEEDS):
                yield _COMPANY[(turn + number) % len(_COMPANY)].format(seed)

    return list(islice(dict.fromkeys(every()), SIZE))


def strings() -> list[str]:
    """The corpus as it is kept."""
    loaded: list[str] = json.loads(FILE.read_text(encoding="ascii"))
    return loaded


if __name__ == "__main__":
    FILE.write_text(json.dumps(generate(), indent=0) + "\n", encoding="ascii")
