"""Bash of a plan: the bootstrap of a node, the hygiene of an image, and what joins a node to its cluster. Pure."""
