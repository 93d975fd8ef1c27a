"""The appliance; one idea: a small VM with a kernel of its own mounts the disk of an image and runs commands in it.

Nothing of the image is started, and the image is never written to: its disk is a throw-away overlay, and what a command
writes goes to memory. Kernel and busybox come from the package sources of this machine, for any architecture.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from amigen.base.errors import CouldNotCheckError, ToolError
from amigen.base.files import read_tail
from amigen.base.processes import MAX_OUTPUT, find_program, run_tool
from amigen.base.waiting import attempts
from amigen.connections.model import Connection, Target
from amigen.knowledge import Architecture
from amigen.platforms import PLATFORMS
from amigen.platforms.model import PlatformFact
from amigen.vm.acceleration import probe
from amigen.vm.apt_sources import release_of_machine, sources_of_machine
from amigen.vm.cache import cache_key, cached
from amigen.vm.image import VmImage, make_overlay
from amigen.vm.qemu import MACHINES, bare_command, disk_drive, escaped, kernel_options, not_started, start_qemu

# Raised when the same packages make another appliance.
RECIPE = 1
START_SECONDS = 300.0
_MODULES = (
    *("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "overlay"),
    *("ext4", "xfs", "btrfs", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"),
)
# The first word that the guest says: its root is mounted; or why not.
_READY = "ready"
_INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /run /lower /upper /root
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /sbin
ln -s /bin/busybox /sbin/modprobe
for module in MODULES; do modprobe $module 2>/dev/null; done
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  if [ -e /dev/vda ] && ls /dev/vport* >/dev/null 2>&1; then break; fi
  sleep 0.5
done
exec 3<>"$(echo /dev/vport*)"

end() {
  echo "$*" >&3
  sleep 5
  poweroff -f
}

# By size: a cloud image has its root in the largest file system.
found=''
for sys in $(for dir in /sys/class/block/vda*; do echo "$(cat $dir/size) $dir"; done | sort -rn | cut -d' ' -f2); do
  device=/dev/${sys##*/}
  mount -o ro $device /lower 2>/dev/null || continue
  if [ -f /lower/etc/passwd ]; then found=$device; break; fi
  umount /lower
done
if [ -z "$found" ]; then
  if dd if=/dev/vda bs=1M count=64 2>/dev/null | grep -q LVM2; then end 'its root is on LVM'; fi
  end 'no partition of it has a file system with /etc/passwd that this kernel can mount'
fi
mount -t tmpfs tmpfs /upper
mkdir /upper/upper /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /root ||
  end 'cannot mount an overlay'

# What /etc/fstab puts elsewhere, such as /boot, read-only.
partition_of() {
  case $1 in
    PARTUUID=*) grep -il "^$1\$" /sys/class/block/vda*/uevent | head -n 1 | cut -d/ -f5 | sed 's:^:/dev/:' ;;
    *=*) findfs "$1" ;;
    *) echo "$1" ;;
  esac
}
grep -v '^[[:space:]]*#' /root/etc/fstab 2>/dev/null | while read -r what where rest; do
  case $where in /?*) ;; *) continue ;; esac
  what=$(partition_of "$what" 2>/dev/null)
  if [ -b "$what" ] && [ -d "/root$where" ]; then mount -o ro "$what" "/root$where" 2>/dev/null; fi
done
# systemd mounts an EFI partition that /etc/fstab does not name (systemd-gpt-auto-generator(8)).
if [ -d /root/boot/efi ] && ! grep -q ' /root/\(boot/\|\)efi ' /proc/mounts; then
  for dir in /sys/class/block/vda?*; do
    mount -o ro -t vfat "/dev/${dir##*/}" /root/boot/efi 2>/dev/null && break
  done
fi
mount -t proc proc /root/proc
mount -t devtmpfs dev /root/dev
mount -t tmpfs tmpfs /root/run
echo READY >&3
while read -r size <&3; do
  head -c "$size" <&3 >/root/run/command
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
    /bin/busybox chroot /root /bin/sh /run/command </dev/null >/run/out 2>/run/err 3>&-
  code=$?
  { echo $code $(stat -c %s /run/out /run/err); cat /run/out /run/err; } >&3
done
poweroff -f
"""


class Appliance(Connection):
    """The VM, as a context manager; use it from one thread that lives as long as it (see `amigen.vm.Machine`).

    Args:
        work: A private folder of the caller's.
        log: Receives one line for each thing that takes time.
    """

    def __init__(self, image: VmImage, *, work: Path, log: Callable[[str], None] = lambda _line: None) -> None:
        super().__init__(Target(text=str(image.disk), kind="vm", name=str(image.disk)))
        self.image, self.work, self.log = image, work, log
        self.console = work / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._stream = self._socket.makefile("rwb")

    def __enter__(self) -> Appliance:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        with suppress(OSError):
            self._stream.close()
        self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run a script of the root's own shell in the root."""
        text = script.encode("utf-8", "surrogateescape")
        try:
            self._socket.settimeout(self.options.seconds)
            self._stream.write(f"{len(text)}\n".encode() + text)
            self._stream.flush()
            code, out, err = map(int, self._line().split())
            if out + err > MAX_OUTPUT:
                raise CouldNotCheckError(f"the output of this command is too long: {script[:200]}")
            stdout, stderr = self._stream.read(out), self._stream.read(err)
        except (OSError, ValueError) as error:
            raise CouldNotCheckError(f"the appliance does not answer: {error}\n{self._console()}") from None
        return subprocess.CompletedProcess(script, code, stdout, stderr)

    def _start(self) -> None:
        kernel, initrd = appliance_files(self.image.architecture, log=self.log)
        acceleration = probe(self.image.architecture, kernel)
        overlay, port = self.work / "disk.qcow2", self.work / "port"
        make_overlay(self.image, overlay)
        command = [
            *bare_command(self.image.architecture, acceleration, MACHINES[self.image.architecture][0]),
            *("-m", "768", "-kernel", str(kernel), "-initrd", str(initrd)),
            *("-append", f"quiet {kernel_options(self.image.architecture, acceleration)}"),
            *("-drive", disk_drive(overlay), "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=port,path={escaped(port)},server=on,wait=on"),
            *("-device", "virtserialport,chardev=port,name=amigen"),
            *("-chardev", f"file,id=console,path={escaped(self.console)}", "-serial", "chardev:console"),
        ]
        self._process = start_qemu(command, self.work)
        self._connect(port)
        try:
            self._socket.settimeout(START_SECONDS)
            said = self._line()
        except OSError as error:
            raise CouldNotCheckError(f"the appliance does not start: {error}\n{self._console()}") from None
        if said != _READY:
            raise CouldNotCheckError(f"{self.image.disk}: {said}")

    def _connect(self, port: Path) -> None:
        """QEMU waits for this connection before it starts the guest."""
        process = self._process
        assert process is not None
        for _ in attempts(seconds=60, every=0.02):
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return self._socket.connect(str(port))
            if process.poll() is not None:
                break
        raise not_started(self.work)

    def _line(self) -> str:
        said = self._stream.readline(4096)
        if not said.endswith(b"\n"):
            raise ConnectionError("it was powered off")
        return said.decode(errors="replace").strip()

    def _console(self) -> str:
        with suppress(OSError):
            return read_tail(self.console, 4096).strip()
        return ""


def appliance_files(architecture: Architecture, *, log: Callable[[str], None]) -> tuple[Path, Path]:
    """Kernel and initrd of the appliance, made once from the package sources of this machine and cached.

    Raises:
        ToolError: No apt here, or a program is missing.
    """
    fact = _release_of_machine()
    sources = sources_of_machine(fact)
    arch = fact.arch_names[architecture]
    packages = (fact.kernel_package.format(arch=arch), "busybox-static")
    inputs = [RECIPE, _INIT, _MODULES, packages, fact.codename, arch, sources.lines, sources.options]

    def make(folder: Path) -> None:
        log(f"make the appliance that reads images, from {' and '.join(packages)} of {fact.title} (20 s)")
        root = folder.parent / "root"
        listed = folder.parent / "sources.list"
        listed.write_text("".join(f"{line}\n" for line in sources.lines))
        mmdebstrap = find_program("mmdebstrap", package="mmdebstrap", purpose="make the appliance that reads images")
        depmod = find_program("depmod", package="kmod", purpose="make the appliance that reads images")
        options = ("Apt::Install-Recommends false", *sources.options)
        command = [
            *(mmdebstrap, "--variant=extract", f"--architectures={arch}", "--quiet", f"--include={','.join(packages)}"),
            *(f"--aptopt={option}" for option in options),
            *(fact.codename, str(root), str(listed)),
        ]
        run_tool(command, doing="load the packages of the appliance", timeout=900)
        (kernel,) = root.glob("boot/vmlinuz-*")
        release = kernel.name.removeprefix("vmlinuz-")
        run_tool([depmod, "-b", str(root), release], doing="list the modules of the appliance", timeout=120)
        (folder / "vmlinuz").write_bytes(kernel.read_bytes())
        init = _INIT.replace("MODULES", " ".join(_MODULES)).replace("READY", _READY)
        (folder / "initrd").write_bytes(_initrd(root, release, init))

    folder = cached("appliance", cache_key(f"appliance-{architecture}", inputs), make, log=log)
    return folder / "vmlinuz", folder / "initrd"


def _release_of_machine() -> PlatformFact:
    facts = [fact for fact in PLATFORMS.values() if fact.kernel_package]
    for fact in facts:
        if (fact.os_id, fact.codename) == release_of_machine():
            return fact
    titles = ", ".join(fact.title for fact in facts)
    raise ToolError(
        f"images are read without booting them on {titles} only", "the image is still checked after it is booted"
    )


def _initrd(root: Path, release: str, init: str) -> bytes:
    """An archive in the kernel's format `newc` with busybox and the modules that are needed.

    Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. It is not compressed: an emulated
    processor takes long to unpack it.
    """
    folder = f"lib/modules/{release}"
    lines = (root / folder / "modules.dep").read_text().splitlines()
    needs = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    wanted: dict[str, None] = {}
    for module in _MODULES:
        for file in (each for each in needs if Path(each).name.partition(".ko")[0].replace("-", "_") == module):
            wanted |= dict.fromkeys((file, *needs[file]))
    dependencies = "".join(f"{file}: {' '.join(needs[file])}\n" for file in wanted)
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.is_file())
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o100755, init.encode()),
        "bin/busybox": (0o100755, busybox.read_bytes()),
        f"{folder}/modules.dep": (0o100644, dependencies.encode()),
        **{f"{folder}/{file}": (0o100644, (root / folder / file).read_bytes()) for file in wanted},
    }
    folders = dict.fromkeys(str(parent) for name in files for parent in reversed(Path(name).parents[:-1]))
    entries = {**dict.fromkeys(folders, (0o040755, b"")), **files, "TRAILER!!!": (0, b"")}
    return b"".join(_entry(number, name, *entry) for number, (name, entry) in enumerate(entries.items(), 1))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
