"""amigen: one spec in, a proven Kubernetes node image out.

The names below are the public library. They are loaded on first use, so that `import amigen` costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
