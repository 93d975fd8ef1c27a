#!/usr/bin/env bash
# Builds the wheel, installs it into a new environment far from the checkout, and uses it there.
set -euo pipefail
python=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel -q --no-deps --wheel-dir "$work" .
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "$work"/amigen-*.whl
cp examples/*.yaml "$work/"
cd "$work"
amigen=$work/venv/bin/amigen
"$amigen" --version
for spec in *.yaml; do
  "$amigen" check "$spec" >/dev/null
  "$amigen" render "$spec" -o "out-${spec%.yaml}" >/dev/null
  "$amigen" render "$spec" -o "out-${spec%.yaml}" --check >/dev/null
done
"$work/venv/bin/python" - <<'PY'
import amigen
from amigen.base.templates import folder
assert "site-packages" in amigen.__file__, amigen.__file__
assert folder("templates").name == "_templates", folder("templates")
assert amigen.user_data(amigen.plan_image(amigen.load_spec("minimal.yaml"), "al2023")).startswith(b"MIME-Version")
PY
[[ -f out-minimal/al2023/scripts/bootstrap.sh ]]

# The pytest plugin loads by itself, and without the rest of amigen.
mkdir own
cat >own/test_own.py <<'PY'
import sys

FACTS = {"commands": ["uname -r"]}

def test_kernel_module(host, node, kernel_module):
    release = host.run("uname -r").stdout.strip()
    assert not kernel_module("no-such-module").is_loaded
    assert not kernel_module("no_such_module").is_available(release)
    assert node.answer("uname", "-r").stdout.strip() == release == node.kernel
    assert not [name for name in sys.modules if name.startswith(("amigen.plan", "amigen.spec", "amigen.cli", "boto3"))]
PY
"$work/venv/bin/pytest" -q -c /dev/null -p no:cacheprovider --hosts=local:// own
printf 'the installed wheel works\n'
