"""Facts of a node, gathered in one round trip: one script, one parser, one type; bytes out, bytes in.

script = gather_script(Wanted(packages=("ipvsadm",)), token)
facts = read_facts(wanted, output, token)

`gather(connection, wanted)` does both. The script runs over any connection as root and changes nothing. See
`amigen.facts.model.Facts` for what it tells.
"""

from amigen.facts.ask import gather
from amigen.facts.model import Answer, Facts, File
from amigen.facts.read import GatherError, read_facts
from amigen.facts.script import gather_script
from amigen.facts.wanted import Wanted

__all__ = ["Answer", "Facts", "File", "GatherError", "Wanted", "gather", "gather_script", "read_facts"]
