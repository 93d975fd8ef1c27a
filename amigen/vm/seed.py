"""NoCloud seeds: how a VM gets its user data (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html)."""

from __future__ import annotations

import json
from pathlib import Path

from amigen.base.processes import find_program, run_tool


def make_seed(
    target: Path, *, key: Path, instance_id: str, hostname: str, user_data: bytes, user: str | None = None
) -> None:
    """An ISO with the label `cidata`.

    Args:
        key: Private key whose public one cloud-init gives to the default user.
        user: Who is let in with it, by vendor data, which runs besides the user data; None: no vendor data. cloud-init
            lets root in only without `disable_root`.

    Raises:
        ToolError: No program that makes ISO files is installed, or it failed.
    """
    public = key.with_suffix(".pub").read_text().strip()
    meta = {"instance-id": instance_id, "local-hostname": hostname, "public-keys": [public]}
    # The own name in /etc/hosts: sudo asks for it, and DNS does not know it.
    config = {"manage_etc_hosts": "localhost", **({"disable_root": False} if user == "root" else {})}
    folder = target.parent / f"{target.stem}.d"
    folder.mkdir()
    (folder / "user-data").write_bytes(user_data)
    (folder / "meta-data").write_text(json.dumps(meta, indent=2) + "\n")
    (folder / "vendor-data").write_text(f"#cloud-config\n{json.dumps(config)}\n" if user else "")
    program = find_program("genisoimage", "mkisofs", "xorrisofs", package="genisoimage", purpose="make the seed disk")
    run_tool(
        [program, "-quiet", "-output", str(target), "-volid", "cidata", "-joliet", "-rock", str(folder)],
        doing="make the seed disk",
        timeout=60,
    )
