"""The pytest plugin of csstcore: fixtures for plugin authors.

Loaded in every pytest run where csstcore is installed, so it imports nothing of it before a
fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from csstcore.plugins.registry import Registry
    from csstcore.testing.distributions import FakeDistributions
    from csstcore.testing.references import FakeReferences
    from csstcore.testing.registries import IsolatedRegistry

pytest.register_assert_rewrite("csstcore.testing.contract", "csstcore.testing.compare")


@pytest.fixture
def isolated_registry() -> Iterator[IsolatedRegistry]:
    """Refuse real discovery; call it with modules to make what `discover` returns."""
    from csstcore.testing.registries import isolated

    with isolated() as registry:
        yield registry


@pytest.fixture
def installed_plugins() -> Iterator[Registry]:
    """Give the registry of the plugins that really are installed."""
    from csstcore.plugins import discovery

    discovery.discover.cache_clear()
    yield discovery.discover()
    discovery.discover.cache_clear()


@pytest.fixture
def fake_distribution(tmp_path: Path) -> Iterator[FakeDistributions]:
    """Write fake distributions; `discover` finds them and none that is installed."""
    from csstcore.testing.distributions import fake_distributions

    with fake_distributions(tmp_path / "distributions") as fakes:
        yield fakes


@pytest.fixture
def fake_references(tmp_path: Path) -> FakeReferences:
    """Give an empty folder of references, filled by calls."""
    from csstcore.testing.references import FakeReferences

    return FakeReferences(tmp_path / "references")
