"""Prove nodes that run, over Systems Manager."""
