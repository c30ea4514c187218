"""One run from files to files: products, record, statuses."""

from __future__ import annotations

import json

import pytest

from csstcore.run.status import Failure, Status

from .conftest import ONE, Bench, write_raw

REDUCE = (
    ONE
    + """
[[stage]]
use = "lab.add"
params = { value = 5.0 }
[[stage]]
use = "lab.measure"
[outputs]
image = "lab.reduced"
catalog = "lab.catalog"
"""
)


def test_a_job_reads_runs_writes_and_records(bench: Bench) -> None:
    write_raw(bench.raw, 101, 7)
    record = bench.one(REDUCE)
    assert record.status is Status.DONE, record.why
    assert (record.job, record.keys) == ("101_7", {"obs_id": "101", "detector": 7})
    assert (bench.data(record) == 15).all()
    with bench.product(record) as hdus:
        header = hdus[0].header
    assert (header["STA_MEAS"], header["MEAN"], header["LEVEL"]) == (0, 15.0, 15.0)
