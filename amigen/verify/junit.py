"""A report as JUnit XML, as CI systems read it (https://github.com/testmoapp/junitxml describes the common form)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # only written here, never parsed
from collections.abc import Sequence

from amigen.verify.report import Report, Result

# XML 1.0 has no way to write the other control characters.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Sequence[Report]) -> bytes:
    """One test suite per target and phase; what is not provable is skipped, with the reason."""
    root = ET.Element("testsuites", name="amigen verify")
    for report in reports:
        for phase in dict.fromkeys(result.phase for result in report.results):
            _suite(root, report, phase, [result for result in report.results if result.phase == phase])
    ET.indent(root)
    document = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{document}\n'.encode()


def _suite(root: ET.Element, report: Report, phase: str, results: list[Result]) -> None:
    seconds = next((p.seconds for p in report.phases if p.name == phase), sum(r.seconds for r in results))
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_xml(f"{report.spec} {report.platform} on {report.target}: {phase}"),
        tests=str(len(results)),
        failures=str(sum(r.outcome == "failed" for r in results)),
        errors=str(sum(r.outcome == "error" for r in results)),
        skipped=str(sum(r.outcome in ("not provable", "skipped") for r in results)),
        time=f"{seconds:.3f}",
        timestamp=report.started.removesuffix("Z"),
    )
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_xml(f"{report.platform}.{phase}"),
            name=_xml(result.id),
            time=f"{result.seconds:.3f}",
        )
        if result.outcome != "passed":
            element = {"failed": "failure", "error": "error"}.get(result.outcome, "skipped")
            found = f"not provable here: {result.found}" if result.outcome == "not provable" else result.found
            child = ET.SubElement(case, element, message=_xml(found))
            child.text = _xml("\n".join(f"{label}: {text}" for label, text in result.explanation))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
