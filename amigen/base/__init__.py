"""Shared tools without knowledge of the domain: errors, files, locks, waits, paths, processes, quoting, templates."""
