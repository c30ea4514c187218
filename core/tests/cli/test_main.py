"""The command line: exit codes, messages, and nothing imported that is not needed."""

import gc
from types import SimpleNamespace

import click
import pytest

from csstcore import __version__
from csstcore.cli import main as module
from csstcore.cli.main import COMMANDS, main
from csstcore.errors import FileError, PluginError, Problems

FAKE = "doctor"


@pytest.fixture
def doing(monkeypatch):
    """Let one command do something else."""

    def replace_by(function):
        command = click.command()(click.pass_context(function))
        monkeypatch.setattr(module, "import_module", lambda name: SimpleNamespace(command=command))

    return replace_by


@pytest.fixture
def failing(doing):
    """Let one command raise."""

    def fail_with(error):
        def function(context):
            raise error

        doing(function)

    return fail_with


def test_garbage_is_collected_again_after_a_short_command(monkeypatch):
    seen = []
    command = click.Command("list", callback=lambda: seen.append(gc.isenabled()))
    monkeypatch.setattr(module, "import_module", lambda name: SimpleNamespace(command=command))
    assert main(["list"]) == 0
    assert seen == [False]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("error", "code"),
    [(PluginError("p"), 3), (FileError("f"), 5), (Problems("t", ["a", "b"]), 2)],
)
def test_an_error_for_the_user_is_one_message_without_traceback(failing, capsys, error, code):
    failing(error)
    assert main([FAKE]) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_bug_keeps_its_traceback(failing, capsys):
    failing(RuntimeError("unexpected"))
    assert main([FAKE]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_130(failing, capsys, error):
    failing(error)
    assert main([FAKE]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_an_unknown_command_is_a_usage_error_with_the_nearest(capsys):
    assert main(["lst"]) == 2
    assert "no command is called 'lst' (did you mean 'list'?)" in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys):
    assert main(["--nonsense"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_a_word_that_looks_like_an_option_is_no_command(capsys):
    assert main(["--", "-x"]) == 2
    assert "-x" in capsys.readouterr().err


def test_version(capsys):
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert "Usage: csstcore" in capsys.readouterr().out


def test_the_exit_code_of_a_command_is_kept(doing):
    doing(lambda context: context.exit(4))
    assert main([FAKE]) == 4


def test_what_a_command_returns_is_not_taken_for_an_exit_code(doing):
    doing(lambda context: "done")
    assert main([FAKE]) == 0
