"""Discovery: every state, and every way a plugin may misbehave."""

import importlib.metadata
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from packaging.specifiers import SpecifierSet

from csstcore.errors import PluginError
from csstcore.plugin import Stage
from csstcore.plugins import discovery
from csstcore.plugins.discovery import discover
from csstcore.plugins.registry import PluginState

HOOK = """
    from csstcore.plugin import Stage, hookimpl

    @hookimpl
    def csst_stages():
        return [Stage({name!r}, "package.module:function", "Do something")]
"""


def only(namespace):
    """Return the one plugin of a namespace."""
    (plugin,) = [each for each in discover().plugins if each.namespace == namespace]
    return plugin


def source(name="align"):
    return HOOK.format(name=name)


def test_a_good_plugin_is_active_with_distribution_version_and_folder(fake_distribution):
    folder = fake_distribution("good", source(), distribution="the-good", version="2.3")
    plugin = only("good")
    assert plugin.state is PluginState.ACTIVE
    assert (plugin.distribution, plugin.version) == ("the-good", "2.3")
    assert (plugin.module, plugin.folder) == ("the_good.plugin", folder)
    assert list(discover().declared(Stage)) == ["good.align"]


def test_plugins_and_declarations_are_sorted_by_namespace(fake_distribution):
    for namespace in ("b", "c", "a"):
        fake_distribution(namespace, source())
    assert [plugin.namespace for plugin in discover().plugins] == ["a", "b", "c"]
    assert list(discover().declared(Stage)) == ["a.align", "b.align", "c.align"]


def test_discovery_happens_once_per_process(fake_distribution):
    fake_distribution("good", source())
    assert discover() is discover()


@pytest.mark.parametrize("requirement", ["csstcore<0.1", "csstcore>=7,<8", "csstcore (>=9)"])
def test_another_core_version_makes_it_incompatible_and_is_seen_before_import(
    fake_distribution, requirement
):
    fake_distribution("old", "raise RuntimeError", requires=(requirement,))
    plugin = only("old")
    assert plugin.state is PluginState.INCOMPATIBLE
    assert "this is csstcore 0.1.0" in plugin.why
    assert "fake_old.plugin" not in sys.modules


@pytest.mark.parametrize(
    "requires",
    [(), ("numpy", "csstcore-extras>=1"), ("csstcore>=0.1; python_version < '3'",)],
)
def test_a_distribution_that_requires_no_core_is_incompatible(fake_distribution, requires):
    fake_distribution("free", "raise RuntimeError", requires=requires)
    assert only("free").state is PluginState.INCOMPATIBLE
    assert only("free").why == "requires no version of csstcore; expected e.g. csstcore>=0.1,<0.2"


def test_of_several_requirements_on_the_core_every_one_counts(fake_distribution):
    fake_distribution("old", source(), requires=("csstcore>=0.1", "csstcore<0.1"))
    assert only("old").state is PluginState.INCOMPATIBLE


def test_an_unreadable_requirement_is_incompatible(fake_distribution):
    fake_distribution("odd", source(), requires=("csstcore>=x.y",))
    assert only("odd").state is PluginState.INCOMPATIBLE
    assert "'csstcore>=x.y' cannot be read" in only("odd").why


@pytest.mark.parametrize(
    "requirement",
    ["csstcore", "CSSTcore >= 0.1", "csstcore[spectra]>=0.1", "csstcore>=0.1; python_version>'3'"],
)
def test_every_form_of_a_fulfilled_requirement_is_active(fake_distribution, requirement):
    fake_distribution("good", source(), requires=("numpy>=99", requirement))
    assert only("good").state is PluginState.ACTIVE


@pytest.mark.parametrize("version", ["0.0.9", "0.1", "0.1.0", "0.1.5", "0.2", "0.2.0.dev1", "1.0"])
@pytest.mark.parametrize(
    "specifier", [">=0.1,<0.2", ">= 0.1.0, < 0.2.0", "<0.1.1", ">=0.1.0.0", "~=0.1.0", "==0.1.*"]
)
def test_the_requirement_means_what_packaging_says(
    fake_distribution, monkeypatch, version, specifier
):
    monkeypatch.setattr(discovery, "__version__", version)
    fake_distribution("some", source(), requires=(f"csstcore{specifier}",))
    fulfilled = SpecifierSet(specifier).contains(version, prereleases=True)
    expected = PluginState.ACTIVE if fulfilled else PluginState.INCOMPATIBLE
    assert only("some").state is expected


def test_two_distributions_with_one_namespace_conflict_and_neither_is_imported(fake_distribution):
    # In between lies another namespace: stevedore sees only adjacent duplicates.
    fake_distribution("same", "raise RuntimeError", distribution="first")
    fake_distribution("other", source())
    fake_distribution("same", "raise RuntimeError", distribution="second")
    found = [plugin for plugin in discover().plugins if plugin.namespace == "same"]
    assert [plugin.state for plugin in found] == [PluginState.CONFLICT] * 2
    assert [plugin.distribution for plugin in found] == ["first", "second"]
    assert found[0].why == "first and second claim the same namespace; uninstall all but one"
    assert not {"first.plugin", "second.plugin"} & set(sys.modules)
    assert only("other").state is PluginState.ACTIVE


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("assert 1 == 2, 'impossible'", "AssertionError: impossible"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import module_that_is_not_there", "ModuleNotFoundError: No module named"),
        ("def broken(:", "SyntaxError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise KeyboardInterrupt('mine')", "KeyboardInterrupt: mine"),
        (
            "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
            "Odd: (its text cannot be shown: ZeroDivisionError)",
        ),
        (
            "import sys; raise type('Odd', (ImportError,), {'__str__': lambda self: sys.exit(3)})",
            "Odd: (its text cannot be shown: SystemExit)",
        ),
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        "{statement}",
        "from csstcore.plugin import hookimpl\n@hookimpl\ndef csst_checks():\n    {statement}\n",
    ],
    ids=["at import", "in a hook"],
)
def test_whatever_a_plugin_raises_makes_it_broken_with_traceback(
    fake_distribution, statement, why, code
):
    fake_distribution("bad", code.format(statement=statement))
    fake_distribution("good", source())
    assert only("bad").state is PluginState.BROKEN
    assert only("bad").why.startswith(why)
    assert "Traceback" in only("bad").traceback
    assert "plugin.py" in only("bad").traceback
    assert only("good").state is PluginState.ACTIVE


def test_ctrl_c_during_import_is_not_swallowed(fake_distribution, ctrl_c):
    fake_distribution("bad", "import signal; signal.raise_signal(signal.SIGINT)")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        discover()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_ctrl_c_stays_as_it_was(fake_distribution):
    fake_distribution("bad", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    before = signal.getsignal(signal.SIGINT)
    assert only("bad").state is PluginState.ACTIVE
    assert signal.getsignal(signal.SIGINT) is before


def test_plugins_are_found_in_any_thread(fake_distribution):
    fake_distribution("bad", "raise KeyboardInterrupt")
    fake_distribution("good", source())
    with ThreadPoolExecutor(1) as threads:
        states = {each.namespace: each.state for each in threads.submit(discover).result().plugins}
    assert states == {"bad": PluginState.BROKEN, "good": PluginState.ACTIVE}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "@hookimpl\ndef csst_stage(): return []",
            "no hook is called 'csst_stage' (did you mean 'csst_stages'?)",
        ),
        ("def csst_stages(): return []", "function 'csst_stages' is not marked with @hookimpl"),
        ("@hookimpl\ndef csst_stages(pipeline): return []", "PluginValidationError"),
        (
            "@hookimpl\ndef csst_stages(): return (stage,)",
            "csst_stages returned tuple; expected list of Stage",
        ),
        (
            "@hookimpl\ndef csst_checks(): return [stage]",
            "csst_checks returned a list with a Stage; expected Check",
        ),
        (
            "@hookimpl\ndef csst_references(): return [stage]",
            "csst_references returned a list with a Stage; expected ReferenceType or",
        ),
        (
            "@hookimpl\ndef csst_stages(): return [stage, stage]",
            "csst_stages declares 'align' twice",
        ),
        (
            "@hookimpl\ndef csst_stages(): return [Stage('a-b', 'm:f', 'Align')]",
            "csst_stages: Stage 'a-b': the name must be",
        ),
        (
            "@hookimpl\ndef csst_stages(): return [Stage('a', 'm.f', 'Align')]",
            "csst_stages: Stage 'a': 'm.f' is no import string",
        ),
        (
            "@hookimpl\ndef csst_stages(): return [Stage('a', 'm:f', '')]",
            "csst_stages: Stage 'a': the summary",
        ),
        (
            "@hookimpl\ndef csst_pipelines(): return [Pipeline('a', '../b.toml', 'Align')]",
            "csst_pipelines: Pipeline 'a': the path",
        ),
        (
            "@hookimpl\ndef csst_pipelines(): return [Pipeline('a', '/b.toml', 'Align')]",
            "csst_pipelines: Pipeline 'a': the path",
        ),
        (
            "@hookimpl\ndef csst_references(): return [ReferenceRules('a', 'b.toml', 'Align')]",
            "csst_references: ReferenceRules 'a': the name must be",
        ),
    ],
)
def test_a_wrong_declaration_makes_it_broken_and_says_what_is_wrong(fake_distribution, code, why):
    head = "from csstcore.plugin import *\nfrom csstcore.plugin import hookimpl\n"
    fake_distribution("bad", f"{head}stage = Stage('align', 'm:f', 'Align')\n{code}\n")
    assert only("bad").state is PluginState.BROKEN
    assert only("bad").why.startswith(why)
    assert only("bad").traceback
    assert not discover().declared(Stage)


@pytest.mark.parametrize("namespace", ["two-words", "1st", "a.b"])
def test_a_namespace_that_is_no_identifier_is_broken_and_not_imported(fake_distribution, namespace):
    fake_distribution(namespace, "raise RuntimeError", distribution="odd")
    assert only(namespace).state is PluginState.BROKEN
    assert only(namespace).why == f"the namespace {namespace!r} is no Python identifier"
    assert "odd.plugin" not in sys.modules


def test_an_entry_point_that_is_no_module_is_broken(fake_distribution):
    folder = fake_distribution("bad", "answer = 42")
    entries = folder.parent / "fake_bad-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[csstcore.plugins]\nbad = fake_bad.plugin:answer\n")
    assert only("bad").state is PluginState.BROKEN
    assert "names a int; expected a module" in only("bad").why


def test_unreadable_metadata_is_broken(fake_distribution):
    folder = fake_distribution("bad", source())
    (folder.parent / "fake_bad-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    assert only("bad").state is PluginState.BROKEN
    assert only("bad").why == "the metadata of its distribution cannot be read"
    assert only("bad").distribution == "?"


def test_what_a_plugin_prints_stays_out_of_the_output(fake_distribution, capsys):
    fake_distribution("loud", "print('hello')")
    assert only("loud").state is PluginState.ACTIVE
    assert capsys.readouterr() == ("", "hello\n")


def test_what_a_plugin_writes_to_descriptor_1_stays_out_of_the_output(fake_distribution, capfd):
    fake_distribution("loud", "import os; os.write(1, b'hello\\n'); os.system('echo child')")
    print("before")
    assert only("loud").state is PluginState.ACTIVE
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "hello\nchild\n")


def test_plugins_are_found_without_standard_output(fake_distribution, monkeypatch):
    fake_distribution("good", source())
    monkeypatch.setattr("sys.stdout", None)
    assert only("good").state is PluginState.ACTIVE


def test_disabled_plugins_are_not_imported(fake_distribution, monkeypatch):
    fake_distribution("off", "raise RuntimeError")
    fake_distribution("on", source())
    monkeypatch.setenv("CSSTCORE_DISABLE", "other, off")
    assert only("off").state is PluginState.DISABLED
    assert only("on").state is PluginState.ACTIVE
    assert "fake_off.plugin" not in sys.modules


def test_asking_for_something_of_a_plugin_that_is_not_active_says_why(fake_distribution):
    fake_distribution("bad", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"'bad' is broken: RuntimeError: no licence"):
        discover().get(Stage, "bad.align")


def test_only_the_plugin_group_of_what_is_installed_is_read(installed_plugins):
    names = {entry.name for entry in importlib.metadata.entry_points(group=discovery.GROUP)}
    assert {plugin.namespace for plugin in installed_plugins.plugins} == names
