"""What a build needs on this machine: all of it is looked for before anything begins, and all that lacks is said."""

from __future__ import annotations

import os
from collections.abc import Iterator

from amigen.base.errors import InputError, ToolError
from amigen.build.base import look_at_base
from amigen.build.run import BuildRequest, Job
from amigen.vm.acceleration import machine_architecture
from amigen.vm.needs import SSH, missing_firmware, missing_for_a_vm, missing_programs
from amigen.vm.official import GPGV

_PLUGIN = (
    "session-manager-plugin:"
    " https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
_BUILT_IN = (
    (("mmdebstrap",), "mmdebstrap", "make the built-in base"),
    (("unshare",), "util-linux", "make the built-in base"),
    (("mke2fs",), "e2fsprogs", "make a file system"),
)
# Packer's, which opens the tunnel (https://developer.hashicorp.com/packer/integrations/hashicorp/amazon).
_SESSION_MANAGER = ((("session-manager-plugin",), _PLUGIN, "reach the builder over Session Manager"),)


def lacking(request: BuildRequest) -> list[ToolError]:
    """What is not here, each once."""
    found = {error.message: error for job in request.jobs for error in _of_job(job, request)}
    return list(found.values())


def _of_job(job: Job, request: BuildRequest) -> Iterator[ToolError]:
    if request.target == "aws":
        yield from missing_programs(SSH)
        if job.plan.spec.aws.communicator == "session-manager":
            yield from missing_programs(_SESSION_MANAGER)
        return
    yield from missing_for_a_vm(job.architecture)
    try:
        base = look_at_base(job.plan, job.architecture, request.spec_folder, fresh=request.fresh_base)
    except (InputError, ToolError):
        # Only this image fails; the others continue.
        return
    if base.to_make:
        yield from missing_programs(_BUILT_IN)
        if job.architecture != machine_architecture():
            yield from missing_programs(((("arch-test",), "arch-test", "make a root of another architecture"),))
        if os.getuid() != 0:
            yield ToolError("the built-in base can only be made by root", "use sudo, or name one under local.bases")
    if base.signed:
        yield from missing_programs((GPGV,))
    boot_loader = not base.to_make and (base.image is None or base.image.kernel is None)
    if boot_loader and (job.architecture == "arm64" or job.plan.spec.local.firmware == "uefi"):
        yield from missing_firmware(job.architecture)
