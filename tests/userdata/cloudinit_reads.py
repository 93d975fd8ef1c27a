"""Run by the system's python, which has cloud-init: prints as JSON what cloud-init makes of user data on stdin.

The calls are those of cloud-init itself at boot: UserDataProcessor.process, then the walk that hands out parts.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cloudinit import handlers, helpers, user_data, util

with TemporaryDirectory() as folder:
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    message = user_data.UserDataProcessor(paths).process(sys.stdin.buffer.read())
    parts: list[dict[str, str]] = []

    def see(_data: None, filename: str, payload: str | bytes, headers: dict[str, str]) -> None:
        """Called by cloud-init for each part, as its handlers are."""
        payload = payload if isinstance(payload, bytes) else payload.encode()
        parts.append(
            {"type": headers["Content-Type"], "filename": filename, "content": base64.b64encode(payload).decode()}
        )

    handlers.walk(message, see, data=None)
    for part in parts:
        # cloudinit/handlers/shell_script.py: what is written to the disk and run.
        if part["type"] == "text/x-shellscript":
            file = Path(folder) / "script"
            util.write_file(str(file), util.dos2unix(base64.b64decode(part["content"]).decode()), 0o700)
            part["script"] = base64.b64encode(file.read_bytes()).decode()
    json.dump(parts, sys.stdout)
