"""Image usage reports and reference checks, which moto has not, by the words of EC2's documentation.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/your-ec2-ami-usage.html: a report is made of one image, is pending
and then available or in error, and is for the accounts and resource types that were asked for.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from tests.publish.stand_in.wire import Request, page_start


class UsageReports:
    """State and answers.

    Attributes:
        accounts: Image -> (account, resource type, count) as its report will say.
        references: Image -> (resource type, ARN) as the reference check says.
        reports: The reports, by id.
        ready: A report is available at the next look; unset it stays pending.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.accounts: dict[str, list[tuple[str, str, int]]] = {}
        self.references: dict[str, list[tuple[str, str]]] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.ready = True

    def create(self, request: Request) -> dict[str, Any]:
        """CreateImageUsageReport."""
        report = self.add(request.params["ImageId"], request.params["ResourceTypes"])
        report["AccountIds"] = request.params.get("AccountIds", [])
        report["State"] = "pending"
        return {"ReportId": report["ReportId"]}

    def add(self, image: str, types: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """A report as it is kept."""
        report = {
            "ReportId": f"imgur-{next(self._numbers):017x}",
            "ImageId": image,
            "ResourceTypes": types,
            "AccountIds": [],
            "State": "available",
            "CreationTime": datetime.now(UTC),
            **more,
        }
        self.reports[report["ReportId"]] = report
        return report

    def describe(self, request: Request) -> dict[str, Any]:
        """DescribeImageUsageReports: one a page."""
        for report in self.reports.values():
            if self.ready and report["State"] == "pending":
                report["State"] = "available"
        found = [r for r in self.reports.values() if r["ImageId"] in request.params["ImageIds"]]
        return _page(request, "ImageUsageReports", found)

    def entries(self, request: Request) -> dict[str, Any]:
        """DescribeImageUsageReportEntries: one a page."""
        found = [
            {"ReportId": id_, "ImageId": image, "AccountId": account, "ResourceType": kind, "UsageCount": count}
            for id_ in request.params["ReportIds"]
            for image in [self.reports[id_]["ImageId"]]
            for account, kind, count in self.accounts.get(image, [])
        ]
        return _page(request, "ImageUsageReportEntries", found)

    def refer(self, request: Request) -> dict[str, Any]:
        """DescribeImageReferences: one a page."""
        wanted = [each["ResourceType"] for each in request.params["ResourceTypes"]]
        found = [
            {"ImageId": image, "ResourceType": kind, "Arn": arn}
            for image in request.params["ImageIds"]
            for kind, arn in self.references.get(image, [])
            if kind in wanted
        ]
        return _page(request, "ImageReferences", found)


def _page(request: Request, key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    start = page_start(request)
    more = {"NextToken": str(start + 1)} if start + 1 < len(items) else {}
    return {key: items[start : start + 1], **more}
