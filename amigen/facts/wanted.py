"""What the checks of a node need to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to gather.

    Attributes:
        modules: Kernel modules.
        files: Paths whose attributes and sha256 are needed.
        texts: Paths whose content is needed.
        settings: Paths below /proc/sys.
        commands: Shell commands whose result is needed. They run in this order and must not change anything.
        schedulers: IPVS schedulers to try, after all else.
    """

    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: Mapping[str, Iterable[str]]) -> Wanted:
        """From a mapping, such as `FACTS` of a test file.

        Raises:
            ValueError: A key is unknown, or a value is not a list of strings.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(asked) - known)
        if unknown:
            raise ValueError(f"FACTS has unknown keys: {', '.join(unknown)}; known keys: {', '.join(sorted(known))}")
        for key, values in asked.items():
            if isinstance(values, str) or not all(isinstance(value, str) for value in values):
                raise ValueError(f"FACTS[{key!r}] must be a list of strings")
        return cls(**{key: tuple(dict.fromkeys(values)) for key, values in asked.items()})

    def __or__(self, other: Wanted) -> Wanted:
        """Both, each value once."""
        both = {f.name: tuple(dict.fromkeys((*getattr(self, f.name), *getattr(other, f.name)))) for f in fields(self)}
        return replace(self, **both)
