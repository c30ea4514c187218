"""Calls the command line in this process, and judges how it refuses."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from csstcore.cli.main import main


@dataclass(frozen=True)
class Refusal:
    """What a refused command said."""

    code: int
    text: str


def call(*words: object) -> Refusal:
    """Run ``csstcore`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return Refusal(code, " ".join((out.getvalue() + err.getvalue()).split()))


def judge(refusal: Refusal, codes: Sequence[int], causes: Sequence[str]) -> None:
    """Insist on the exit code, on every cause, and on a message without traceback.

    Parameters
    ----------
    codes
        The exit codes that are right.
    causes
        What the message must have; of ``a|b`` one is enough.
    """
    assert refusal.code in codes, refusal
    assert "Traceback" not in refusal.text, refusal
    for cause in causes:
        assert any(part in refusal.text for part in cause.split("|")), (cause, refusal)


def left_behind(folder: Path) -> Iterator[Path]:
    """Products, and files that were being written, in an output folder."""
    for path in folder.rglob("*"):
        if path.is_file() and ("products" in path.parts or path.name.endswith(".part")):
            yield path
