"""The parsers of what others write: what they are given, and the only errors that may leave them.

Each takes bytes. A parser that works on more than its text gets the smallest surroundings that let it run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from amigen.base.errors import InputError, RefusedError, SizeError
from amigen.build.packer_tool import parse_line
from amigen.build.record import read_record
from amigen.facts import Answer, Facts, GatherError, Wanted, read_facts
from amigen.facts.modules import parse_loaded, parse_look_up, parse_persisted
from amigen.ipvs.parse import parse as parse_ipvs
from amigen.kubeproxy import node_facts
from amigen.kubeproxy.addon import read_values
from amigen.kubeproxy.config import read_config
from amigen.plan.make import plan_image
from amigen.publish.ledger import read_ledger
from amigen.publish.record import read_images
from amigen.spec.load import check_bytes
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from amigen.userdata.systems import SYSTEMS
from tests.specs import EXAMPLES, GOLDEN, joins, spec


class Target(NamedTuple):
    """A parser, the errors that it documents, and inputs to begin with."""

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


TOKEN = "T0KEN"
_WANTED = Wanted(
    modules=("ip_vs", "nf_conntrack"),
    packages=("ipvsadm", "a"),
    files=("/etc/a", "/etc/b c"),
    texts=("/etc/t",),
    settings=("/proc/sys/a/b",),
    commands=("nft --version",),
    units=("cron.service",),
    schedulers=("rr",),
)
_PLAN = plan_image(spec(joins()), "al2023")
_SPEC = spec()
_FOLDER = Path(tempfile.gettempdir())


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _explain(content: bytes) -> None:
    for system in SYSTEMS:
        explain(content, system)


def _modules(content: bytes) -> None:
    text = _text(content)
    parse_loaded(text)
    parse_look_up(text, "ip_vs")
    parse_persisted(text)


def _packer(content: bytes) -> None:
    for line in _text(content).split("\n"):
        parse_line(line)


def _of_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(content: bytes) -> object:
        with tempfile.NamedTemporaryFile(dir=_FOLDER) as file:
            file.write(content)
            file.flush()
            return read(Path(file.name))

    return run


_IPVS = b"""\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.100.0.1:443 rr
  -> 192.168.113.81:443           Masq    1      0          0
TCP  [fd00::1]:53 rr persistent 10800
FWM  17 wlc
"""
_PROC = b"""\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A640001:01BB rr
  -> C0A87151:01BB      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0035 rr persistent 1000 FFFFFFFF
"""
# As the script prints it for _WANTED, on a node that has some of it.
_GATHERED = (
    b"\nT0KEN loaded 0\nip_vs 1 0 - Live 0x0\n\nT0KEN stderr\n\nT0KEN code 0\n"
    b"\nT0KEN persisted 0\nfile /etc/modules-load.d/ipvs.conf\nline ip_vs\n\nT0KEN stderr\n\nT0KEN code 0\n"
    b"\nT0KEN obstacles\n/etc/modprobe.d/a.conf:3:blacklist ip_vs\n\nT0KEN code 0\n"
    b"\nT0KEN modules 6.1.0\ndep kernel/ip_vs.ko: kernel/nf_conntrack.ko\nmissing x.ko\n\nT0KEN code 0\n"
    b"\nT0KEN dpkg-query\nipvsadm\tinstall ok installed\t1:1.31-1+b1\n\nT0KEN code 1\n"
    b"\nT0KEN rpm\nrow\tipvsadm\t1.31-1\npackage a is not installed\n\nT0KEN code 1\n"
    b"\nT0KEN stat\n644 0 root 0 root 9 regular file|/etc/a\n\nT0KEN code 1\n"
    b"\nT0KEN sha256sum\n" + b"0" * 64 + b"  /etc/a\n\nT0KEN code 1\n"
    b"\nT0KEN text 0\na\n\nT0KEN code 0\n"
    b"\nT0KEN settings\n/proc/sys/a/b:1\n\nT0KEN code 0\n"
    b"\nT0KEN active\ncron.service loaded active running Cron\n\nT0KEN code 0\n"
    b"\nT0KEN failed\n\nT0KEN code 0\n"
    b"\nT0KEN command 0\nnftables v1\n\nT0KEN stderr\n\nT0KEN code 0\n"
    b"\nT0KEN schedulers\nrr 0 \n\nT0KEN code 0\n"
    b"\nT0KEN end\n"
)
# The answer to one command of each kind.
_ANSWERED = _PROC + b"\0" + b"3: kube-ipvs0    inet 10.100.0.1/32 scope global kube-ipvs0\n"


def _node(content: bytes) -> object:
    table, _, addresses = _text(content).partition("\0")
    said = {"table": table, "bound": addresses, "timeouts": table, "nft": table, "mode": addresses}
    commands = {
        command: Answer(code=0, stdout=said.get(name, ""))
        for name, command in node_facts._commands(node_facts.DEFAULT_METRICS).items()
    }
    return node_facts.read_node(Facts(commands=commands))


_CONFIG = (
    b"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nipvs: {scheduler: rr}\n"
)
_IMAGES = b"""{"specDigest": "d", "finishedAt": "2026-01-01T00:00:00Z", "images":
 [{"platform": "al2023", "architecture": "x86_64", "verified": true, "region": "r", "imageId": "ami-1"}]}"""
_LEDGER = b'{"schema": "amigen/ledger/v1", "name": "n", "entries": [{"id": "x"}]}'

TARGETS: dict[str, Target] = {
    "spec": Target(check_bytes, (), tuple(path.read_bytes() for path in EXAMPLES)),
    "user-data": Target(_explain, (), tuple(p.read_bytes() for p in sorted(GOLDEN.glob("*/expected/*/user-data.*")))),
    "merge": Target(
        lambda content: user_data(_PLAN, merge=content),
        (InputError, SizeError),
        tuple(p.read_bytes() for p in sorted(GOLDEN.glob("*/expected/*/user-data.mime"))[:2]),
    ),
    "ipvs": Target(lambda content: parse_ipvs(_text(content)), (InputError,), (_IPVS, _PROC)),
    "facts of a node": Target(lambda content: read_facts(_WANTED, content, TOKEN), (GatherError,), (_GATHERED,)),
    "modules": Target(
        _modules, (), (b"ip_vs 1 2 - Live 0x0\n", b"dep a/ip_vs.ko: b.ko\nmissing b.ko\nfile /etc/x\nline ip_vs\n")
    ),
    "packer": Target(_packer, (), (b"1700000000,amazon-ebs.x,artifact,0,id,eu-central-1:ami-1\n1,,ui,say,a\\nb\n",)),
    "kube-proxy's configuration": Target(
        lambda content: read_config(_text(content), "ConfigMap x"), (InputError,), (_CONFIG,)
    ),
    "node": Target(_node, (InputError,), (_ANSWERED,)),
    "values of the add-on": Target(
        lambda content: read_values(_text(content)), (InputError,), (b'{"mode": "ipvs", "ipvs": {"scheduler": "rr"}}',)
    ),
    "build record": Target(_of_file(read_record), (InputError,), (_IMAGES,)),
    "proven images": Target(_of_file(lambda path: read_images(path, _SPEC)), (InputError, RefusedError), (_IMAGES,)),
    "ledger": Target(_of_file(read_ledger), (InputError,), (_LEDGER,)),
}
