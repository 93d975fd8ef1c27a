"""Artifacts: text made from a plan. Nothing here touches the machine."""
