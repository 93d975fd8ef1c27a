"""A pytest plugin that gives testinfra what it lacks; usable without the rest of amigen.

Fixtures `kernel_module`, `installed_kernels` and `image_root`, markers `needs_kernel`, `needs_boot`, `needs_cluster` and
`loads_modules`, the connection `ssm://`, packages of Amazon Linux, and `--amigen-prefetch`. See docs/verify.md.
"""

from amigen.testing.explain import explain

__all__ = ["explain"]
