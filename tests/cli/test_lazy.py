"""What is imported only when it is used: each name must exist, since no start of the program would notice."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

import amigen
from amigen.cli import COMMANDS, cli

PACKAGE = Path(amigen.__file__).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_loads(command: str) -> None:
    """The table of commands names a click command."""
    assert isinstance(cli.get_command(click.Context(cli), command), click.Command)


def test_help_loads_no_schemas() -> None:
    """They serve `amigen schema` alone."""
    code = "import sys, amigen.cli.publish, amigen.cli.images, amigen.cli.fleet; print('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


@pytest.mark.parametrize("name", amigen.__all__)
def test_each_public_name_loads(name: str) -> None:
    """`from amigen import ...` works for each name that is offered."""
    assert getattr(amigen, name) is not None


def test_an_unknown_public_name() -> None:
    """It is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        amigen.nothing  # noqa: B018


def test_each_import_inside_a_function_resolves() -> None:
    """A renamed module would otherwise fail only in the command that loads it."""
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                missing += [f"{path.name}:{line}: {name}" for line, name in _unresolved(function)]

    assert missing == []


def _unresolved(function: ast.AST) -> list[tuple[int, str]]:
    names: list[tuple[int, str, str | None]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [(node.lineno, node.module, alias.name) for alias in node.names]
    return [(line, f"{module}.{name or ''}") for line, module, name in names if not _exists(module, name)]


def _exists(module: str, name: str | None) -> bool:
    try:
        loaded = importlib.import_module(module)
        return name is None or hasattr(loaded, name) or bool(importlib.import_module(f"{module}.{name}"))
    except ImportError:
        return False
