"""Every imaging detector has its own cosmic-ray network, trained for the sky of its filter."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

import csst_msc
from csst_calib.cosmic_rays.network import open_network
from csst_calib.training.domain import domain_of
from csstcore.api import Onnx

REFERENCES = Path(csst_msc.__file__).parent / "references"
RULES = tomllib.loads((REFERENCES / "cosmic_ray_model.toml").read_text())["rule"]
TABLE = tomllib.loads((REFERENCES / "detectors" / "msc.toml").read_text())


def test_every_imaging_detector_has_one_network() -> None:
    imaging = [entry["number"] for entry in TABLE["detectors"] if entry["kind"] == "MBI"]
    named = [number for rule in RULES for number in rule["match"]["detector"]]
    assert sorted(named) == imaging


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["file"])
def test_a_network_was_trained_for_its_detectors_and_says_how_good_it_is(rule) -> None:
    network = open_network(Onnx(REFERENCES / rule["file"]))
    properties = network.session.get_modelmeta().custom_metadata_map
    training = json.loads(properties["training"])
    for detector in rule["match"]["detector"]:
        wanted = domain_of(TABLE, detector).background_electron
        assert training["domain"]["background_electron"] == pytest.approx(wanted)
    assert 0.3 < network.threshold < 0.999
    assert float(properties["purity"]) > 0.985
    assert float(properties["recall"]) > 0.85
    assert float(properties["recall_three_sigma"]) > 0.98


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["file"])
def test_a_network_tells_a_track_from_a_star(rule) -> None:
    network = open_network(Onnx(REFERENCES / rule["file"]))
    rng = np.random.default_rng(1)
    background = np.mean(domain_of(TABLE, rule["match"]["detector"][0]).background_electron)
    noise = np.float32(np.hypot(5, np.sqrt(background)))
    electron = rng.normal(background, noise, (64, 64)).astype(np.float32)
    rows, columns = np.indices(electron.shape)
    electron += 3e4 / (2 * np.pi) * np.exp(-((rows - 40) ** 2 + (columns - 40) ** 2) / 2)
    track = np.arange(10, 25)
    electron[track, track // 2] += 700
    level = np.full(electron.shape, background, np.float32)
    blind = np.zeros(electron.shape, np.bool_)
    probability = network.probability(electron, level, np.full_like(level, noise), blind)
    assert probability[track, track // 2].min() > network.threshold
    assert probability[36:45, 36:45].max() < network.threshold
