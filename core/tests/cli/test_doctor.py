"""``csstcore doctor``: facts, states, tracebacks, exit code."""

import json

from csstcore.cli.main import main


def test_a_sound_installation_is_0(fake_distribution, capsys):
    fake_distribution("good")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "good (fake-good 1.0): active\n" in out
    for fact in ("python", "csstcore", "cores", "free disk", "numpy", "astropy"):
        assert f"\n{fact}" in f"\n{out}"


def test_a_broken_plugin_is_3_and_shows_its_traceback(fake_distribution, capsys):
    fake_distribution("bad", "raise RuntimeError('no licence')")
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "bad (fake-bad 1.0): broken: RuntimeError: no licence\n    Traceback" in out


def test_an_incompatible_plugin_is_3(fake_distribution):
    fake_distribution("old", requires=("csstcore<0.1",))
    assert main(["doctor"]) == 3


def test_a_conflict_is_3(fake_distribution):
    fake_distribution("same", distribution="first")
    fake_distribution("same", distribution="second")
    assert main(["doctor"]) == 3


DECLARING = """
    from csstcore.plugin import *
    from csstcore.plugin import hookimpl

    @hookimpl
    def csst_stages():
        return [Stage("gone", "fake_bad.nowhere:align", "Align")]

    @hookimpl
    def csst_checks():
        return [Check("odd", "fake_bad.plugin:nothing", "Check")]

    @hookimpl
    def csst_pipelines():
        return [Pipeline("l1", "l1.toml", "Do all")]

    @hookimpl
    def csst_definitions():
        return [Definition("raw", "raw.toml", "Raw")]

    @hookimpl
    def csst_references():
        return [ReferenceRules("bad.bias", "bias.toml", "Bias")]
"""


def test_every_declaration_that_is_not_there_is_named_and_3(fake_distribution, capsys):
    folder = fake_distribution("bad", DECLARING)
    (folder / "raw.toml").write_text("[definition]\nname = 'raw'\n")
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "Stage bad.gone: 'fake_bad.nowhere:align' cannot be imported: Module" in out
    assert "Check bad.odd: 'fake_bad.plugin:nothing' cannot be imported: fake_bad.plugin has" in out
    assert "Pipeline bad.l1: cannot read pipeline" in out
    assert "Definition bad.raw: " in out
    assert "definition.summary: missing" in out
    assert "ReferenceRules bad.bad.bias: rule file" in out
    assert main(["doctor", "--json"]) == 3
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 5
    assert main(["list"]) == 0


def test_a_disabled_plugin_is_0(fake_distribution, monkeypatch):
    fake_distribution("bad", "raise RuntimeError")
    monkeypatch.setenv("CSSTCORE_DISABLE", "bad")
    assert main(["doctor"]) == 0


def test_json(fake_distribution, capsys, monkeypatch):
    monkeypatch.setattr("csstcore.cli.doctor.LIBRARIES", ("numpy", "not-there-at-all"))
    fake_distribution("bad", "raise RuntimeError")
    assert main(["doctor", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["cores"] >= 1
    assert found["libraries"]["not-there-at-all"] == "not installed"
    assert found["plugins"][0]["state"] == "broken"


def test_no_plugin_is_said(fake_distribution, capsys):
    assert main(["doctor"]) == 0
    assert "no plugins are installed" in capsys.readouterr().out
