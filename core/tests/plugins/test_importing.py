"""`load`: import strings."""

import sys

import pytest

from csstcore.errors import PluginError
from csstcore.plugins.importing import load


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the given source and return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source):
        (tmp_path / "loaded_by_test.py").write_text(source)
        monkeypatch.delitem(sys.modules, "loaded_by_test", raising=False)
        return "loaded_by_test"

    yield write
    sys.modules.pop("loaded_by_test", None)


def test_the_named_object_is_returned():
    from pathlib import Path

    assert load("pathlib:Path") is Path


def test_the_attribute_may_be_dotted():
    from pathlib import Path

    assert load("pathlib:Path.exists") is Path.exists


@pytest.mark.parametrize("target", ["pathlib", "pathlib:", ":Path", ""])
def test_a_malformed_target_is_refused(target):
    with pytest.raises(PluginError, match=r"is no import string; expected 'package\.module:attr"):
        load(target)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("raise SystemExit", "SystemExit"),
        ("assert False, 'impossible'", "AssertionError: impossible"),
        ("import not_there_at_all", "No module named 'not_there_at_all'"),
        ("raise KeyboardInterrupt('mine')", "KeyboardInterrupt: mine"),
        (
            "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
            r"Odd: \(its text cannot be shown: ZeroDivisionError\)",
        ),
    ],
)
def test_whatever_the_module_raises_becomes_a_plugin_error(module, source, cause):
    name = module(source)
    with pytest.raises(PluginError, match=f"'{name}:f' cannot be imported: .*{cause}"):
        load(f"{name}:f")


def test_ctrl_c_passes(module, ctrl_c):
    name = module("import signal; signal.raise_signal(signal.SIGINT)")
    with pytest.raises(KeyboardInterrupt):
        load(f"{name}:f")


def test_a_missing_attribute_gives_the_nearest(module):
    name = module("def align(): ...")
    with pytest.raises(PluginError, match=r"has no attribute 'allign' \(did you mean 'align'\?\)"):
        load(f"{name}:allign")
