"""The same command again does what has changed and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from astropy.io import fits

from .observatory import JOB, Observatory, csstcore


@pytest.fixture
def copy(observatory: Observatory, tmp_path: Path) -> Observatory:
    """An observatory to change: references and products are its own, raw frames are shared."""
    site = Observatory(tmp_path)
    shutil.copytree(observatory.references, site.references)
    shutil.copytree(observatory.level1, site.level1)
    site.raw.symlink_to(observatory.raw)
    return site


def decision(site: Observatory, *words: object) -> tuple[str, bool, str]:
    """What a dry run says of the one job."""
    (job,) = site.run_level1("--dry-run", "--json", *words).json()["jobs"]
    return job["job"], job["run"], job["why"]


def files(folder: Path) -> dict[Path, int]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in found}


def test_second_run_does_nothing(observatory: Observatory) -> None:
    before = files(observatory.level1 / "products")
    again = observatory.run_level1("--json").json()
    assert [(job["job"], job["kept"]) for job in again["jobs"]] == [(JOB, True)]
    assert files(observatory.level1 / "products") == before


def test_dry_run_writes_nothing(observatory: Observatory, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    said = observatory.run_level1("--dry-run", output=fresh).out
    assert said.splitlines()[0].split() == [JOB, "run", "new"]
    assert "1 of 1 jobs would run" in said
    assert not fresh.exists()


def test_changed_reference_is_named_and_the_job_runs_again(copy: Observatory) -> None:
    job, run, why = decision(copy)
    assert (job, run) == (JOB, False)
    assert why.startswith("unchanged")
    newer = copy.folder / "MSC_8_bias_20270801120000.fits"
    (bias,) = copy.references.rglob("*_bias_*.fits")
    shutil.copy(bias, newer)
    with fits.open(newer, mode="update") as hdus:
        hdus[1].data += 1.0
    csstcore(
        *("refs", "add", "calib.bias", newer, "--refs", copy.references),
        *("--useafter", "2027-08-01T12:00:00"),
    )
    assert decision(copy) == (JOB, True, "reference calib.bias changed")
    copy.run_level1("--no-figures")
    header = fits.getheader(copy.product("IMG"), 1)
    assert header["R_BIAS"] == newer.name
    assert decision(copy)[1] is False


def test_changed_parameter_is_a_reason(copy: Observatory) -> None:
    words = ("--set", "detect_sources.threshold=4.0")
    assert decision(copy, *words) == (JOB, True, "parameters changed")


def test_touched_reference_with_the_same_content_is_no_reason(copy: Observatory) -> None:
    (bias,) = copy.references.rglob("*_bias_*.fits")
    bias.touch()
    assert decision(copy)[1] is False


def test_damaged_reference_fails_the_job_and_is_named(copy: Observatory) -> None:
    (bias,) = copy.references.rglob("*_bias_*.fits")
    content = bytearray(bias.read_bytes())
    content[-5000] ^= 1
    bias.write_bytes(content)
    done = copy.run_level1("--no-figures", output=copy.folder / "fresh", code=5)
    assert f"{bias}: sha256 is" in done.err
    assert not list((copy.folder / "fresh").rglob("*.fits"))


def test_removed_product_is_made_again(copy: Observatory) -> None:
    image = copy.product("IMG")
    before = fits.getdata(image)
    image.unlink()
    job, run, why = decision(copy)
    assert (job, run) == (JOB, True)
    assert image.name in why
    copy.run_level1("--no-figures")
    assert (fits.getdata(image) == before).all()
