#!/usr/bin/env python3
"""Write amigen/spec/kubelet_api.json: flags, configuration and feature gates of the kubelet, by Kubernetes version.

Builds main.go against each version of k8s.io/kubernetes below, and so needs Go, a network and some minutes. amigen only
reads the result. To add a version: append it to VERSIONS and run this script.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULT = HERE.parents[1] / "amigen" / "spec" / "kubelet_api.json"
# Built to be run once: optimizing takes longer than it saves.
_FAST = ("-gcflags=all=-N -l", "-ldflags=-s -w")
VERSIONS = ("1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")


def api(version: str) -> dict[str, dict]:
    """What main.go prints for one version of Kubernetes."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "main.go", folder)
        listed = _run(folder, "go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}")
        needed = json.loads(_run(folder, "go", "mod", "edit", "-json", json.loads(listed)["GoMod"]))
        staged = (entry["Old"]["Path"] for entry in needed["Replace"])
        # A replacement counts in the main module only: it is repeated here with the published module of that version.
        number = "v0." + version.removeprefix("1.")
        lines = ["module kubeletapi", f"go {needed['Go']}", f"require k8s.io/kubernetes v{version}"]
        lines += [f"replace {path} => {path} {number}" for path in staged]
        Path(folder, "go.mod").write_text("\n".join(lines) + "\n")
        return json.loads(_run(folder, "go", "run", "-mod=mod", *_FAST, "."))


def _run(folder: str, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def written(found: dict[str, dict]) -> str:
    """All versions in one document: an entry that all of them have is its value, another one is {value: [versions]}."""
    document: dict[str, object] = {"versions": {short: api["version"] for short, api in found.items()}}
    for section in ("flags", "featureGates"):
        document[section] = _merged({short: api[section] for short, api in found.items()})
    names = sorted({name for api in found.values() for name in api["types"]})
    document["types"] = {
        name: _merged({short: api["types"].get(name, {}) for short, api in found.items()}) for name in names
    }
    # One line for each flag, gate and type.
    lines = []
    for section, entries in document.items():
        rows = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
        lines.append(f" {json.dumps(section)}: {{\n" + ",\n".join(rows) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _merged(by_version: dict[str, dict[str, str]]) -> dict[str, object]:
    merged: dict[str, object] = {}
    for name in sorted({name for entries in by_version.values() for name in entries}):
        values: dict[str, list[str]] = {}
        for short, entries in by_version.items():
            if name in entries:
                values.setdefault(entries[name], []).append(short)
        (value, versions), *others = values.items()
        merged[name] = value if not others and len(versions) == len(by_version) else values
    return merged


def main() -> None:
    """Generate the file."""
    found = {}
    for version in VERSIONS:
        print(version, file=sys.stderr, flush=True)
        found[".".join(version.split(".")[:2])] = {"version": version, **api(version)}
    RESULT.write_text(written(found))


if __name__ == "__main__":
    main()
