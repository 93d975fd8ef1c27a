"""A pytest plugin that gives testinfra what it lacks; usable without the rest of amigen.

Fixtures `node`, `kernel_module`, `installed_kernels` and `image_root`, markers `needs_kernel`, `needs_boot`,
`needs_cluster` and `loads_modules`, the connection `ssm://`, and packages of Amazon Linux. See docs/verify.md.
"""

from amigen.testing.explain import explain, not_provable

__all__ = ["explain", "not_provable"]
