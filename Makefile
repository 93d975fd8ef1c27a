# `make demo` and `make test` install what they need: Python packages into .venv, and, as root on Debian or Ubuntu, system
# packages. `make check` is the everyday loop.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests start Python hundreds of times; without its caches every start compiles all modules.
unexport PYTHONDONTWRITEBYTECODE

APT_CHECK := gpgv python3-venv shellcheck shfmt cloud-init
APT_ROOTS := mmdebstrap rpm createrepo-c kmod procps
APT_SLOW := zsh fish man-db qemu-system-x86 qemu-utils genisoimage openssh-client openssh-server e2fsprogs xfsprogs fdisk dosfstools mtools systemd-container podman runc packer ipvsadm
# Builds of arm64 by emulation, which also need binfmt_misc mounted; boots by UEFI.
APT_LONG := qemu-system-arm qemu-efi-aarch64 qemu-user-static arch-test ovmf

.PHONY: demo site check test proof-tools proofs proofs-long lowest wheel bench fuzz docs man pictures golden clean system-check system-roots system-slow system-long real-tools

demo: $(VENV)/.done system-roots
	$(BIN)/python -m tests.testbed.demo

# More workers than processors: tests wait for programs. Each worker reads all tests first, which takes 3 to 6 seconds.
check: $(VENV)/.done system-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q -n 3 -m "not slow"

# Real programs as Go modules, pinned in tests/real/tools: built once into the user's cache; TOOLS names some of them.
real-tools: $(VENV)/.done
	$(BIN)/python -m tests.real.build $(TOOLS)

SLOW := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20

# README's command: the everyday loop, the installed wheel, and one real proof of each kind that needs no control plane
# of Kubernetes (`make proofs` builds it).
test: system-check system-roots system-slow proof-tools check wheel
	$(SLOW) -m "proof and not long"

# nodeadm and Karpenter judge user data; Packer and its plugins judge the rendered Packer files.
proof-tools: $(VENV)/.done
	$(BIN)/python -m tests.real.build nodeadm karpenter packer packer-plugin-amazon packer-plugin-qemu

# All other slow tests; .ci/run runs `make test` before it.
proofs: $(VENV)/.done system-roots system-slow
	$(BIN)/python -m tests.real.build $(filter-out kubernetes-1.36 kube-proxy-1.35,$(notdir $(wildcard tests/real/tools/*)))
	$(SLOW) -m "slow and not proof and not long"

# What takes too long for CI; docs/proof.md says when it last held.
proofs-long: $(VENV)/.done system-roots system-slow system-long real-tools
	$(SLOW) -m long
	AMIGEN_KUBERNETES=1.36 $(SLOW) tests/kubeproxy/test_real_{configmap,nftables,node}.py

# The everyday tests and one verification with the lowest versions that pyproject.toml allows.
lowest: $(VENV)/.done system-check
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install -q --disable-pip-version-check -r <($(BIN)/python tools/lowest-versions) -e '.[test]'
	$(VENV)-lowest/bin/pytest -q -n 3 -m "not slow"
	$(VENV)-lowest/bin/pytest -q tests/verify/test_targets.py -k "test_folders or test_ssh"

# The installed wheel, and not only the checkout.
wheel: $(VENV)/.done
	tests/wheel.sh $(BIN)/python

bench: $(VENV)/.done system-roots system-slow
	@tools/system-packages ansible
	$(BIN)/python -m tests.bench $(PARTS)

docs: $(VENV)/.done
	$(BIN)/python -m tools.spec_reference > docs/spec.md

site: $(VENV)/.done
	$(BIN)/mkdocs build --strict -q

# The pictures of the documentation, of real runs. Needs root, Chromium and pngquant.
pictures: $(VENV)/.done system-roots
	PYTHONPATH=. $(BIN)/python tools/report-screenshots docs/images
	cd "$$(mktemp -d)" && $(abspath $(BIN))/python $(CURDIR)/tools/record first-hour $(CURDIR)/docs/images

man: $(VENV)/.done
	$(BIN)/amigen docs --man build/man

golden: $(VENV)/.done
	$(BIN)/pytest -q tests/render --renew-golden

$(VENV)/.done: pyproject.toml
	@command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && ! $(PYTHON) -c 'import ensurepip' 2>/dev/null && apt-get update -qq && apt-get install -y -qq python3-venv; true
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	touch $@

system-check: ; @tools/system-packages $(APT_CHECK)
system-roots: ; @tools/system-packages $(APT_ROOTS)
system-slow: ; @tools/system-packages $(APT_SLOW)
system-long: ; @tools/system-packages $(APT_LONG)

# A coverage-guided search in the parsers; FUZZ_SECONDS is for all of them together.
FUZZ_SECONDS ?= 300
fuzz: $(VENV)/.done
	$(BIN)/python -m pip install -q --disable-pip-version-check atheris
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) $(VENV)-lowest out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
