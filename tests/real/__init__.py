"""Real parts for tests: a Kubernetes control plane built from Debian's source."""
