"""What can be proved of a node: one module for each kind of check, all of which are found here.

The plan, the rendered suite, the facts to gather, the document of `amigen export ssm-document` and the causes of a
report are all made of these classes.
"""

from __future__ import annotations

import importlib
import pkgutil

from amigen.checks.model import Check, Step
from amigen.platforms.model import PlatformFact
from amigen.spec.model import NodeImage

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# In the order of the suite.
KINDS: tuple[type[Check], ...] = tuple(sorted(Check.__subclasses__(), key=lambda kind: (kind.image, kind.place)))
BY_TEST = {kind.test: kind for kind in KINDS}
# In the order in which a step lists them: what files show first, then causes before what they explain.
_NEEDS = ("files", "boot", "kernel", "cluster")
_OF_STEP = tuple(sorted(KINDS, key=lambda kind: (_NEEDS.index(kind.needs), kind.level, kind.test)))


def checks_of(step: Step | None, spec: NodeImage, platform: PlatformFact) -> tuple[Check, ...]:
    """What proves a step; step None: what proves the node as a whole."""
    return tuple(check for kind in _OF_STEP for check in kind.of(step, spec, platform))
