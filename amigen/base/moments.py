"""Times as AWS and Kubernetes write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def moment_of(text: Any) -> datetime | None:
    """An RFC 3339 time, of UTC where it names no zone; None for anything else."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
