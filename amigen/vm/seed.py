"""NoCloud seeds: how a VM gets its user data (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html)."""

from __future__ import annotations

import json
from pathlib import Path

from amigen.base.processes import find_program, run_tool


def meta_data(instance_id: str, hostname: str, public_keys: tuple[str, ...] = ()) -> str:
    """A meta-data document; cloud-init gives the keys to its default user."""
    content: dict[str, object] = {"instance-id": instance_id, "local-hostname": hostname}
    if public_keys:
        content["public-keys"] = list(public_keys)
    return json.dumps(content, indent=2) + "\n"


def vendor_data(user: str) -> str:
    """Vendor data for a login as `user`; it runs besides the user's own user data, which stays untouched.

    cloud-init gives the keys of the meta-data to its default user, and to root only without `disable_root`.
    """
    # The own name in /etc/hosts: sudo asks for it, and DNS does not know it.
    config: dict[str, object] = {"manage_etc_hosts": "localhost"}
    if user == "root":
        config["disable_root"] = False
    return "#cloud-config\n" + json.dumps(config) + "\n"


def make_seed(target: Path, *, user_data: bytes, meta: str, vendor: str = "") -> None:
    """An ISO with the label `cidata`.

    Raises:
        ToolError: No program that makes ISO files is installed, or it failed.
    """
    folder = target.parent / f"{target.stem}.d"
    folder.mkdir()
    files = {"user-data": user_data, "meta-data": meta.encode(), "vendor-data": vendor.encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    program = find_program("genisoimage", "mkisofs", "xorrisofs", package="genisoimage", purpose="make the seed disk")
    run_tool(
        [program, "-quiet", "-output", str(target), "-volid", "cidata", "-joliet", "-rock", str(folder)],
        doing="make the seed disk",
        timeout=60,
    )
