"""What a spec holds in confidence stands in no output about it: terminal, JSON, HTML, JUnit, plan, findings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import run

SECRETS = ("hunter2-file", "hunter2-hook", "hunter2-proxy", "hunter2-mirror", "hunter2-there")
SPEC = """\
apiVersion: amigen/v1alpha1
kind: NodeImage
name: secrets
kubernetesVersion: "1.34"
platforms: [debian-12]
files:
  - path: PATH
    content: "password: hunter2-file\\n"
    mode: "0600"
hooks:
  after:
    - name: greet
      script: "echo hunter2-hook\\n"
"""
# Refused, with the URLs masked.
URLS = """\
packageSources:
  proxy: http://me:hunter2-proxy@proxy.example:3128
  mirrors:
    debian-12: {url: "https://me:hunter2-mirror@mirror.example/debian"}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="asks this machine as root")
def test_no_output_has_a_secret(tmp_path: Path) -> None:
    there = Path("/var/lib/amigen-test-of-secrets")
    (tmp_path / "spec.yaml").write_text(SPEC.replace("PATH", str(there)))
    (tmp_path / "urls.yaml").write_text(SPEC.replace("PATH", str(there)) + URLS)
    there.write_text("password: hunter2-there\n")
    there.chmod(0o644)
    reports = ("--html", "report.html", "--junit", "report.xml")
    try:
        said = ""
        for arguments in (
            ("verify", "spec.yaml", "local", "-v", *reports),
            ("verify", "spec.yaml", "local", "--output", "json"),
            ("plan", "spec.yaml"),
            ("plan", "spec.yaml", "--output", "json"),
            ("check", "spec.yaml"),
            ("check", "spec.yaml", "--output", "json"),
            ("check", "urls.yaml"),
            ("check", "urls.yaml", "--output", "json"),
            ("verify", "urls.yaml", "local", "--output", "json"),
            ("export", "ssm-document", "spec.yaml"),
        ):
            code = {"urls.yaml": 3}.get(arguments[1], 6 if arguments[0] == "verify" else 0)
            done = run(*arguments, cwd=tmp_path, code=code)
            said += (done.stdout + done.stderr).decode()
    finally:
        there.unlink()
    said += (tmp_path / "report.html").read_text() + (tmp_path / "report.xml").read_text()
    assert f"test_file[{there}]" in said
    assert [secret for secret in SECRETS if secret in said] == []
