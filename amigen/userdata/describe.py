"""An explanation of user data in words."""

from __future__ import annotations

from collections.abc import Iterator

from amigen.base.errors import Problem
from amigen.userdata.explain import Explanation
from amigen.userdata.size import LIMIT, Size


def explanation_lines(found: Explanation) -> Iterator[str]:
    """What arrives on the node: the document, its parts in order, the NodeConfig, and what is wrong."""
    about = found.about
    yield f"For {about.title}: {about.merges}."
    yield f"  source: {about.source}"
    wrapped = f", packed as {' in '.join(reversed(found.wrapped))}" if found.wrapped else ""
    yield f"Document: {found.bytes} bytes for EC2's limit of {LIMIT}{wrapped}; {_sizes(found.document)}"
    if about.adds_most:
        yield f"  and {about.adds_least} to {about.adds_most} bytes that {found.system} adds"
    yield "Parts, in the order in which they run, with their place in the document:"
    for part in found.parts:
        size = (
            f"raw {part.size.raw}, gzip {part.size.gzip}, base64 {part.size.base64}"
            if part.size
            else "size known only to it"
        )
        name = f" {part.filename}" if part.filename else ""
        if part.named and part.named != part.filename:
            name += f" (in the document: {part.named})"
        packed = f", {' in '.join(reversed(part.wrapped))}" if part.wrapped else ""
        yield f"  {part.number}. {part.type}{name} from {part.origin} ({size}{packed})"
        yield f"       run {part.runs}"
    if found.fields:
        yield "NodeConfig, field by field:"
        for field in found.fields:
            also = f" (also set by {', '.join(field.set_by[:-1])})" if len(field.set_by) > 1 else ""
            yield f"  {field.path} = {field.value}  from {field.winner}{also}"
    if not found.problems:
        yield "No problem found."
    for problem in found.problems:
        yield problem_line(problem)


def _sizes(size: Size) -> str:
    return f"raw {size.raw}, gzip {size.gzip}, base64 {size.base64}"


def problem_line(problem: Problem) -> str:
    """A finding about user data in one line, with its reader and rule."""
    hint = f"; {problem.hint}" if problem.hint else ""
    source = f" [{problem.source}]" if problem.source else ""
    return f"{problem.severity}: {problem.message}{hint}{source}"
