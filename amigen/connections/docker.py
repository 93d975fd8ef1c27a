"""Containers that run under docker: `docker://CONTAINER`."""

from __future__ import annotations

from amigen.connections.podman import Podman


class Docker(Podman):
    """As podman, whose command line is docker's."""

    form = "docker://CONTAINER"
    kind = "docker"
    program = ("docker", "docker.io, or docker-ce of Docker's own repository")


CONNECTION = Docker
