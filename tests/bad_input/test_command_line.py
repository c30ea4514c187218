"""Wrong command lines are refused with exit code 2 and the name of what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from csstcore.cli.main import COMMANDS
from csstcore.errors import EXIT_ALL_FAILED, EXIT_PLUGINS, EXIT_USAGE

from .harness import Refusal, call, judge

REFUSED = (EXIT_USAGE, EXIT_PLUGINS, EXIT_ALL_FAILED)


@dataclass(frozen=True)
class Case:
    """Words after ``csstcore``, and what the refusal must name."""

    words: tuple[str, ...]
    causes: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)[:60]


def cases() -> list[Case]:
    return [*_commands(), *_options(), *_names(), *_settings(), *_run_options(), *_references()]


RUN = ("run", "mbi.l1", "plan.toml", "-o", "out")


def _commands() -> Iterator[Case]:
    for name in COMMANDS:
        for wrong in (name[:-1], f"{name}s", name.upper(), f"{name}x", f" {name}", name[::-1]):
            yield Case((wrong,), ("no command is called",))
    for wrong in ("", "help", "-", "1", "--versionx", "-x", "--", "rm -rf", "mbi.l1", "плагин"):
        yield Case((wrong,), ("no command is called|No such option|Missing|Usage",))
    for command in ("refs", "new"):
        for wrong in ("", "lst", "delete", "--x", "plugins"):
            yield Case((command, wrong), ("No such|Usage",))
    for text in ("run", "run mbi.l1", "describe", "validate", "status"):
        yield Case(tuple(text.split()), ("Missing argument",))
    for text in ("refs add", "refs best", "new plugin", "refs add calib.bias"):
        yield Case(tuple(text.split()), ("Missing argument",))
    yield Case(("run", "mbi.l1", "plan.toml"), ("--output|-o",))


def _options() -> Iterator[Case]:
    good: dict[str, tuple[str, ...]] = {
        "run": RUN,
        "list": ("list",),
        "describe": ("describe", "mbi.l1"),
        "validate": ("validate", "plan.toml"),
        "status": ("status", "."),
        "doctor": ("doctor",),
        "refs list": ("refs", "list"),
        "refs best": ("refs", "best", "calib.bias", "plan.toml"),
        "refs add": ("refs", "add", "calib.bias", "plan.toml"),
        "new plugin": ("new", "plugin", "lab"),
    }
    wrong = ("--xyzzy", "--Json", "--dryrun", "-Z", "--outputs=x", "--help-me", "--seeds", "--no-x")
    for words in good.values():
        for option in wrong:
            yield Case((*words, option), ("No such option",))
    for command in ("list", "describe", "status", "doctor"):
        yield Case((*good[command], "extra", "words"), ("unexpected extra argument|Invalid value",))


def _names() -> Iterator[Case]:
    for name in ("mbi.l", "mbi.L1", "mib.l1", "l1", "mbi", "mbi.", ".l1", "mbi.l1.x", "", "mbi l1"):
        yield Case(("describe", name), (name or "''",))
        yield Case(("run", name, "plan.toml", "-o", "out"), (name or "''",))
    for name in ("nothing.toml", "/nowhere/x.toml", "plan.toml/x.toml", "..toml", ".toml"):
        yield Case(("describe", name), (f"{name} does not exist",))
        yield Case(("run", name, "plan.toml", "-o", "out"), (f"{name} does not exist",))
    for name in ("msc.l2", "mcs.l0", "l0", "msc.", ".", "sim.plan.x", "msc l0", "../l0"):
        yield Case(("validate", "plan.toml", "--definition", name), (name,))
    for name in ("plugin", "stage", "pipelines ", "Stages", "x", "--", "checks,stages"):
        yield Case(("list", name, "extra"), ("Invalid value|unexpected extra",))
    for name in (
        "Lab",
        "9lab",
        "lab-x",
        "lab x",
        "",
        "lab.x",
        "../lab",
        "class",
        "läb",
        "lab/",
        "a:b",
    ):
        yield Case(("new", "plugin", name), ("cannot be a namespace|exists",))
    for name in ("nowhere", "plan.toml", "empty", "/dev/null", "", "x" * 300, "nowhere/runs/x"):
        yield Case(("status", name), ("neither an output folder|File name too long",))
    for name in ("nowhere.fits", "nowhere/x", "/proc/none", "x" * 300):
        yield Case(("validate", name, "--definition", "msc.l0"), (name,))
        yield Case(("run", "mbi.l1", name, "-o", "out"), (name[:50],))


def _settings() -> Iterator[Case]:
    wrong = {
        "detect_sources": "expected STAGE.PARAMETER=VALUE",
        "=5": "expected STAGE.PARAMETER=VALUE",
        "threshold=5": "expected STAGE.PARAMETER=VALUE",
        "": "expected STAGE.PARAMETER=VALUE",
        "detect_sources.threshold": "expected STAGE.PARAMETER=VALUE",
        ".threshold=5": "threshold",
        "detect_sources.=5": "detect_sources",
        "detect_source.threshold=5": "detect_source",
        "nothing.threshold=5": "nothing",
        "detect_sources.thresold=5": "did you mean 'threshold'",
        "detect_sources.threshold=-1": "threshold",
        "detect_sources.threshold=0": "threshold",
        "detect_sources.threshold=many": "threshold",
        "detect_sources.threshold=nan": "threshold",
        "detect_sources.threshold=[1, 2]": "threshold",
        "detect_sources.threshold={a = 1}": "threshold",
        "detect_sources.threshold=": "threshold",
        "detect_sources.threshold='": "threshold",
        "detect_cosmic_rays.method=magic": "method",
        "detect_cosmic_rays.method=3": "method",
        "detect_cosmic_rays.threshold=2": "threshold",
        "detect_cosmic_rays.threshold=0": "threshold",
        "detect_cosmic_rays.significance=low": "significance",
        "estimate_variance.photon_noise=perhaps": "photon_noise",
        "estimate_variance.photon_noise=7": "photon_noise",
        "subtract_bias.scale=big": "scale",
        "fill_flagged.psf_sigma_pixel=much": "psf_sigma_pixel",
        "set_wcs.x=1": "x",
        "image.detector=7": "image",
        "mbi.l1.x=1": "mbi",
    }
    for text, cause in wrong.items():
        yield Case(("describe", "mbi.l1", "--set", text), (cause,))
        yield Case((*RUN, "--set", text), (cause,))
    twice = ("--set", "detect_sources.threshold=4", "--set", "detect_sources.threshold=5")
    yield Case((*RUN, *twice), ("twice",))
    yield Case(("describe", "mbi.l1", *twice), ("twice",))


def _run_options() -> Iterator[Case]:
    for text in ("0", "-1", "two", "1.5", "", "1e3", "None", "99999999999999999999x"):
        yield Case((*RUN, "-j", text), ("-j|--jobs",))
    for text in ("-1", "two", "1.5", "", "1e3", "None"):
        yield Case((*RUN, "--seed", text), ("--seed",))
    for text in ("0/2", "3/2", "1", "1/", "/2", "a/b", "1/2/3", "-1/2", "1.0/2", " ", "½/2"):
        yield Case((*RUN, "--shard", text), ("--shard",))
    for text in (
        "calib.bias",
        "=x",
        "calib.bias=",
        "bias=x",
        "calib.bais=plan.toml",
        "calib.bias=no",
    ):
        yield Case((*RUN, "--ref", text), (text.partition("=")[0] or "--ref",))
    # A store that is not there yet is empty; what is there and no folder is a mistake.
    for folder in ("plan.toml", "/dev/null"):
        yield Case((*RUN, "--refs", folder), (folder,))
    for output in ("plan.toml", "plan.toml/x", "/dev/null/x", "/proc/x"):
        yield Case(("run", "sim.sky", "plan.toml", "-o", output), (output,))
    yield Case(("run", "calib.make_bias", "empty", "-o", "out"), ("nothing to do",))


def _references() -> Iterator[Case]:
    store = ("--refs", "store")
    for kind in (
        "calib.bais",
        "bias",
        "calib",
        "",
        ".",
        "calib.bias.x",
        "imaging.star",
        "Calib.bias",
    ):
        yield Case(("refs", "add", kind, "plan.toml", *store), (kind or "''",))
        yield Case(("refs", "best", kind, "plan.toml", *store), (kind or "''",))
        if kind:
            yield Case(("refs", "list", kind, *store), (kind,))
    for kind in ("calib.bias", "calib.dark", "calib.flat", "calib.gain", "imaging.stars"):
        yield Case(("refs", "add", kind, "plan.toml", *store), ("plan.toml",))
        yield Case(("refs", "add", kind, "nowhere.fits", *store), ("nowhere.fits",))
        yield Case(("refs", "best", kind, "nowhere.fits", *store), ("nowhere.fits",))
        yield Case(("refs", "best", kind, "plan.toml", *store), (kind,))
        yield Case(
            ("refs", "add", kind, "plan.toml", "--useafter", "soon", *store), ("--useafter",)
        )
        yield Case(("refs", "add", kind, "plan.toml", "--match", "detector", *store), ("--match",))


CASES = cases()
PROCESSES = CASES[:: max(1, len(CASES) // 100)][:100]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a valid plan, an empty folder and an empty reference store."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "plan.toml").write_text(
        'name = "night"\nkind = "imaging"\nreadout = "920x608"\ndetectors = [6]\n'
        '[[exposure]]\nobs_id = "10100000001"\ntime = 2028-01-01T00:00:00Z\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CSSTCORE_REFS", raising=False)
    return tmp_path


def contents(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_wrong_command_line_is_refused(case: Case, folder: Path) -> None:
    before = contents(folder)
    judge(call(*case.words), REFUSED, case.causes)
    assert contents(folder) == before


@pytest.mark.parametrize("case", PROCESSES, ids=str)
def test_a_process_ends_with_the_same_code(case: Case, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "csstcore.cli.main", *case.words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    text = " ".join((done.stdout + done.stderr).split())
    judge(Refusal(done.returncode, text), REFUSED, case.causes)
