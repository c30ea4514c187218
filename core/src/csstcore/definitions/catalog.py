"""`Definitions`: all definitions of the installed plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from csstcore.definitions.load import load_definition
from csstcore.definitions.model import DefinitionModel
from csstcore.errors import CsstError, Problems
from csstcore.plugin import Definition, Reader
from csstcore.plugins.registry import Registry


class Definitions:
    """Definitions by full name, read when first asked for.

    Parameters
    ----------
    registry
        The plugins that declare them.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._models: dict[str, DefinitionModel] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry.declared(Definition))

    def usable(self) -> tuple[list[str], list[str]]:
        """Return the names of all definitions that can be read, and what is wrong with others."""
        names, problems = [], []
        for name in self:
            try:
                self.get(name)
            except CsstError as cause:
                problems.append(str(cause))
            else:
                names.append(name)
        return names, problems

    def get(self, full_name: str) -> DefinitionModel:
        """Return a definition.

        Raises
        ------
        ConfigurationError
            If no plugin declares it; the message has the nearest name.
        Problems
            If its TOML is wrong, or calls itself otherwise than its plugin does.
        """
        if full_name not in self._models:
            declared = self._registry.get(Definition, full_name)
            path = Path(declared.path)
            model = load_definition(path)
            if model.definition.name != declared.declaration.name:
                raise Problems(
                    f"{path}: not the definition {full_name}",
                    [
                        f"definition.name: found {model.definition.name!r}, expected "
                        f"{declared.declaration.name!r} as in plugin.py"
                    ],
                )
            reader = None
            if model.definition.reader is not None:
                reader = self._registry.get(Reader, model.definition.reader).declaration.target
            self._models[full_name] = model.bound(full_name, path, reader)
        return self._models[full_name]
