"""Which imports of a plugin break the rules, found in its sources without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PUBLIC: Final = ("csstcore.api", "csstcore.plugin")
"""What a plugin may import of the core."""


def forbidden_imports(folder: Path, own: str, others: set[str]) -> list[str]:
    """Return one line per import that a plugin may not have.

    Parameters
    ----------
    folder
        The package, with ``plugin.py`` in it.
    own
        Import name of the package.
    others
        Import names of all other plugins; whatever starts with ``csst_`` counts as one.
    """
    found = []
    for path in sorted(folder.rglob("*.py")):
        for line, name in _imports(ast.parse(path.read_bytes(), str(path))):
            where = f"{path.relative_to(folder)}:{line} imports {name}"
            top = name.partition(".")[0]
            if path == folder / "plugin.py" and name not in ("__future__", "csstcore.plugin"):
                found.append(f"{where}; plugin.py imports csstcore.plugin and nothing else")
            elif top == "csstcore" and name not in PUBLIC:
                found.append(f"{where}; expected csstcore.api")
            elif top != own and (top in others or top.startswith("csst_")):
                found.append(f"{where}; plugins do not import each other")
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and module of every absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "csstcore":  # from csstcore import api
                for alias in node.names:
                    yield node.lineno, f"csstcore.{alias.name}"
            else:
                yield node.lineno, node.module
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level + (node.module or "")
