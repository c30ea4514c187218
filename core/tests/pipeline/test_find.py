"""Pipelines are found by full name, alias or path."""

from pathlib import Path
from types import ModuleType

import pytest

from csstcore.errors import ConfigurationError
from csstcore.pipeline.find import find_pipeline
from csstcore.plugin import Pipeline, hookimpl
from csstcore.plugins.registry import Registry

TEXT = '[pipeline]\nname = "{name}"\nsummary = "x"\naliases = {aliases}\n'


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    for name, aliases in {"one": '["first", "both"]', "two": '["both"]'}.items():
        (tmp_path / f"{name}.toml").write_text(TEXT.format(name=name, aliases=aliases))
    (tmp_path / "broken.toml").write_text("[pipeline")
    module = ModuleType("finder")
    module.__file__ = str(tmp_path / "plugin.py")

    @hookimpl
    def csst_pipelines() -> list[Pipeline]:
        return [Pipeline(name, f"{name}.toml", "x") for name in ("one", "two", "broken")]

    module.csst_pipelines = csst_pipelines  # type: ignore[attr-defined]
    return Registry.of({"demo": module})


def test_by_full_name(registry: Registry, tmp_path: Path) -> None:
    found = find_pipeline(registry, "demo.one")
    assert (found.name, found.path) == ("demo.one", tmp_path / "one.toml")
    assert found.declared is not None


def test_by_alias(registry: Registry) -> None:
    assert find_pipeline(registry, "first").name == "demo.one"


def test_by_path(registry: Registry, tmp_path: Path) -> None:
    found = find_pipeline(registry, str(tmp_path / "two.toml"))
    assert (found.name, found.declared) == ("two", None)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("both", "alias 'both' is claimed by demo.one and demo.two"),
        ("demo.on", "did you mean 'demo.one'?"),
        ("other.one", "no plugin with the namespace 'other' is installed"),
        ("firs", "no pipeline is called 'firs' (did you mean 'first'?)"),
        ("absent.toml", "pipeline file absent.toml does not exist"),
    ],
)
def test_what_is_not_found_is_told(registry: Registry, wanted: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_pipeline(registry, wanted)
    assert told in str(raised.value)
