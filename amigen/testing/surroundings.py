"""What a testinfra host is: a chroot, a container, a machine that systemd has booted."""

from __future__ import annotations

from amigen.facts.surroundings import LOOK_AROUND, Surroundings, parse_surroundings


def find_surroundings(host: object) -> Surroundings:
    """Ask a testinfra host."""
    backend = getattr(host, "backend", None)
    if getattr(backend, "NAME", "") == "chroot":
        return Surroundings(chroot=True)
    # LOOK_AROUND has no argument, so that testinfra does not format its `%`.
    return parse_surroundings(host.run(LOOK_AROUND).stdout)  # type: ignore[attr-defined]
