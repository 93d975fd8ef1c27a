"""Verification: a plan's checks against an image, a node, a container or a folder, and a report of what was proved.

from amigen.verify import verify

report = verify(plan, "ssh://ec2-user@10.0.0.7")
print(report.verdict)
"""

from amigen.verify.report import Outcome, Phase, Report, Result, report_schema
from amigen.verify.run import verify, verify_many

__all__ = ["Outcome", "Phase", "Report", "Result", "report_schema", "verify", "verify_many"]
