"""Facts: gathering and reading."""
