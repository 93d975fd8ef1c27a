"""The version of amigen, which also the rendered files name."""

__version__ = "0.1.0"
