"""Verification: a plan's checks against an image, a node, a container or a folder, and a report of what was proved.

from amigen.verify.run import verify_many

[report] = verify_many(plan, ["ssh://ec2-user@10.0.0.7"])
print(report.verdict)
"""
