"""The exposure calculator against noise that is drawn, and its command line."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csst_hstdm.exposure import exposure, main
from csst_hstdm.receiver import Receiver
from csst_hstdm.stages.calibrate import calibrate
from csst_hstdm.stages.solve_loads import solve_loads


@pytest.mark.parametrize(("on_num", "line_num"), [(1, 1), (16, 3)])
def test_the_times_reach_the_noise_that_is_drawn(on_num: int, line_num: int) -> None:
    """ON - OFF of total powers with the times of the calculator, 20,000 channels."""
    rng = np.random.default_rng(4)
    times = exposure(tsys=300.0, df=73242.0, sigma=0.2, eta=0.9, on_num=on_num, line_num=line_num)
    sigma = [300.0 / (0.9 * np.sqrt(73242.0 * t)) for t in (times.on_s, times.off_s)]
    difference = rng.normal(0, sigma[0], 20000) - rng.normal(0, sigma[1], 20000)
    assert np.std(difference) == pytest.approx(0.2, rel=0.03)
    total = line_num * (on_num * times.on_s + times.off_s)
    assert times.total_s == pytest.approx(total)


def test_no_other_length_of_the_off_is_shorter() -> None:
    best = exposure(tsys=300.0, df=1e5, sigma=0.1, on_num=9)
    for ratio in (1.0, 2.0, 2.9, 3.1, 4.0, 9.0):
        on_s = (300.0 / 0.1) ** 2 * (1 + 1 / ratio) / 1e5
        assert 9 * on_s + ratio * on_s > best.total_s


def test_ten_minutes_on_and_off() -> None:
    # 300 K, 73.24 kHz, 600 s each: 64 mK
    times = exposure(tsys=300.0, df=73242.1875, sigma=0.0640)
    assert (times.on_s, times.off_s) == pytest.approx((600.0, 600.0), rel=2e-3)


def test_the_command_prints_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--tsys", "300", "--df", "73242.1875", "--sigma", "0.1"]
    assert main(["target", *common]) == 0
    assert "all together" in capsys.readouterr().out
    assert main(["otf", *common, "--on-num", "30", "--line-num", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["off_s"] == pytest.approx(found["on_s"] * np.sqrt(30))


def command(*words: str) -> str:
    """What the command prints that the package declares, in a process of its own."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    place = project["scripts"]["hstdm-exposure"]
    code = f"import sys; from pkgutil import resolve_name; sys.exit(resolve_name({place!r})())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    return " ".join(done.stdout.split())


def test_the_declared_command_runs_and_says_what_it_wants() -> None:
    words = ("--tsys", "300", "--df", "73242.1875", "--sigma", "0.1", "--json")
    found = json.loads(command("target", *words))
    assert found["on_s"] == pytest.approx(2 * 3000**2 / 73242.1875)
    assert "T_sys(SSB) = T_sys(DSB) / (G_s eta_l)" in command("-h")
    assert "single sideband, T_A*" in command("target", "-h")


def test_the_system_temperature_of_level_1_is_converted_as_is_said(
    make_sky: Any, receiver: Receiver
) -> None:
    """Noise of calibrated ON - OFF pairs is that of T_sys(DSB) / (G_s eta_l)."""
    states = (["HOT"] * 40 + ["COLD"] * 40 + ["OFF"] * 10 + ["ON"] * 10) * 2 + ["HOT", "COLD"] * 20
    sky = make_sky(sideband_ripple=0.0)
    dumps = sky.dumps(states, np.arange(len(states)) + 0.5, 1.0)
    gain = sky.sideband_gain()
    loads = solve_loads([dumps], receiver, gain)
    (calibrated,), _ = calibrate([dumps], loads, receiver, gain)
    t_sys_dsb = np.median(calibrated.rows["t_sys"].value)
    step = np.diff(calibrated.flux[:10].mean(axis=0)) / np.sqrt(2)
    times = exposure(
        tsys=t_sys_dsb / (0.49 * receiver.eta_l), df=1.2e9 / 16384, sigma=float(np.std(step))
    )
    assert (times.on_s, times.off_s) == pytest.approx((10.0, 10.0), rel=0.15)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--tsys", "-3", "tsys is -3.0; expected a positive number"),
        ("--sigma", "nan", "sigma is nan"),
        ("--df", "0", "df is 0.0"),
        ("--eta", "1.5", "eta is 1.5; expected at most 1"),
        ("--line-num", "0", "line_num is 0; expected 1 or more"),
    ],
)
def test_wrong_numbers_are_named(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"--tsys": "300", "--df": "1e5", "--sigma": "0.1", "--on-num": "3", "--line-num": "2"}
    words[option] = value
    with pytest.raises(SystemExit) as stop:
        main(["otf", *(f"{name}={number}" for name, number in words.items())])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
