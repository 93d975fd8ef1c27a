"""A plan in plain words, and as a document for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amigen.base.errors import plain
from amigen.plan.model import ImagePlan
from amigen.platforms import PLATFORMS


def plan_document(plan: ImagePlan) -> dict[str, Any]:
    """The plan as plain values: packages, files, modules, sysctls, and the steps with their checks."""
    return {
        "name": plan.spec.name,
        "digest": plan.digest,
        "platform": plan.platform,
        "architectures": list(plan.architectures),
        "kubernetesVersion": plan.spec.kubernetes_version,
        "kubeProxyMode": plan.spec.kube_proxy.mode,
        "packages": [{"name": p.name, "version": p.version} for p in plan.packages],
        "files": [{"path": f.path, "owner": f.owner, "group": f.group, "mode": f.mode} for f in plan.files],
        "modules": plan.modules,
        "sysctls": plan.sysctls,
        "steps": [
            {"kind": s.kind, "title": s.title, "stage": s.stage, "checks": [check.id for check in s.checks]}
            for s in plan.steps
        ],
        "always": [check.id for check in plan.always],
    }


def plan_lines(plan: ImagePlan) -> Iterator[str]:
    """The plan for a person, line by line; no name in it breaks a line, or does anything to a terminal."""
    return map(plain, _lines(plan))


def _lines(plan: ImagePlan) -> Iterator[str]:
    fact = PLATFORMS[plan.platform]
    spec = plan.spec
    yield f"{spec.name} on {fact.title} ({', '.join(plan.architectures)}), Kubernetes {spec.kubernetes_version}"
    mode = spec.kube_proxy.mode
    detail = f", scheduler {spec.kube_proxy.ipvs.scheduler}" if mode == "ipvs" else ""
    yield f"  kube-proxy: {mode}{detail}"
    if mode == "ipvs" and spec.kube_proxy.ipvs.strict_arp:
        yield "  strictARP: set by kube-proxy itself (amigen kube-proxy apply), not by the image"
    stages = {"both": "", "user-data": "  (user data only)", "image": "  (image build only)"}
    for number, step in enumerate(plan.steps, 1):
        yield f"  {number:2}. {step.title}{stages[step.stage]}"
        for line in _checks([check.id for check in step.checks]):
            yield f"        proved by {line}"
    yield f"      and always: {', '.join(check.id for check in plan.always)}"
    yield ""
    yield f"  packages: {', '.join(map(str, plan.packages)) or 'none'}"
    yield f"  files:    {', '.join(f.path for f in plan.files) or 'none'}"
    yield f"  modules:  {' '.join(plan.modules) or 'none'}"
    yield f"  sysctls:  {', '.join(f'{k}={v}' for k, v in plan.sysctls.items()) or 'none'}"


def _checks(ids: list[str]) -> Iterator[str]:
    """`test_x[a], test_x[b]` becomes `test_x[a b]`: one line per kind of check."""
    by_test: dict[str, list[str]] = {}
    for id_ in ids:
        test, _, subject = id_.partition("[")
        by_test.setdefault(test, []).append(subject.removesuffix("]"))
    for test, subjects in by_test.items():
        yield f"{test}[{' '.join(subjects)}]"
