"""Verification: a plan's checks against an image, a node, a container or a folder, and a report of what was proved.

from amigen.verify import verify

report = verify(plan, "ssh://ec2-user@10.0.0.7")
print(report.verdict)

The names are loaded on first use: `amigen verify` begins to connect before it has loaded what it will ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amigen.verify.report import Outcome as Outcome
    from amigen.verify.report import Phase as Phase
    from amigen.verify.report import Report as Report
    from amigen.verify.report import Result as Result
    from amigen.verify.report import report_schema as report_schema
    from amigen.verify.run import verify as verify
    from amigen.verify.run import verify_many as verify_many

_OF_RUN = ("verify", "verify_many")
__all__ = ["Outcome", "Phase", "Report", "Result", "report_schema", *_OF_RUN]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'amigen.verify' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("amigen.verify." + ("run" if name in _OF_RUN else "report")), name)
