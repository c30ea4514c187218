"""Fake distributions: discovery is tested without installing anything."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import invalidate_caches
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from unittest import mock

from csstcore.plugins import discovery


class FakeDistributions:
    """Writes fake distributions into a folder, each with one plugin.

    Parameters
    ----------
    folder
        Where they are written; on ``sys.path`` while they are to be found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        namespace: str,
        plugin: str = "",
        *,
        distribution: str = "",
        version: str = "1.0",
        requires: tuple[str, ...] = ("csstcore>=0.1",),
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """Write one distribution and return the folder of its package.

        Parameters
        ----------
        namespace
            Name of the entry point.
        plugin
            Source of ``plugin.py``.
        distribution
            Its name; ``fake-<namespace>`` by default. The package has the same name.
        version, requires
            As in the metadata of a wheel.
        files
            Further files of the package: text by relative path.
        """
        distribution = distribution or f"fake-{namespace}"
        # Hyphens in the folder name would be taken for the start of the version, and fakes
        # of one stem for one distribution.
        package = distribution.replace("-", "_")
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text(
            f"[{discovery.GROUP}]\n{namespace} = {package}.plugin\n"
        )
        root = self.folder / package
        sources = {"__init__.py": "", "plugin.py": plugin, **(files or {})}
        for path, text in sources.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(text))
        invalidate_caches()
        discovery.discover.cache_clear()
        return root

    def installed(self) -> list[EntryPoint]:
        """Return the entry points of the fake plugins alone."""
        found = [
            entry
            for each in distributions(path=[str(self.folder)])
            for entry in each.entry_points
            if entry.group == discovery.GROUP
        ]
        return sorted(found, key=lambda entry: (entry.name, entry.value))


@contextmanager
def fake_distributions(folder: Path) -> Iterator[FakeDistributions]:
    """Discover the fake distributions of one folder, and none that is installed."""
    fakes = FakeDistributions(folder)
    with (
        mock.patch.object(discovery, "installed", fakes.installed),
        mock.patch.object(sys, "path", [str(folder), *sys.path]),
    ):
        discovery.discover.cache_clear()
        yield fakes
    discovery.discover.cache_clear()
    packages = {path.name for path in folder.glob("*")}
    for name in [each for each in sys.modules if each.partition(".")[0] in packages]:
        del sys.modules[name]
