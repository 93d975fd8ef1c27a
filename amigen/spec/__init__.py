"""The spec: what a person wants of a node, and nothing that can be derived from it."""
