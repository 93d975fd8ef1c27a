"""One round trip in place of hundreds: what tests will ask is gathered by one script, and testinfra is answered from it.

The answers are those of testinfra's own commands, so that tests are written as ever, and whatever was not gathered goes to
the host as ever. A change of testinfra's commands makes tests slower, never wrong.
"""

from amigen.testing.prefetch.answers import Answer, answers
from amigen.testing.prefetch.backend import PrefetchedBackend
from amigen.testing.prefetch.script import gather_script
from amigen.testing.prefetch.wanted import Wanted

__all__ = ["Answer", "PrefetchedBackend", "Wanted", "answers", "gather_script"]
