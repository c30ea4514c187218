"""What a stage changes in place changes nothing else, and no plane is copied needlessly."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from astropy.time import Time
from astropy.wcs import WCS

from csstcore.products import Image, Table, planes
from csstcore.products.planes import map_planes, nbytes, own, shared_planes
from csstcore.run import caller
from csstcore.run.status import Status

from .conftest import ONE, Bench, write_raw


def image() -> Image:
    return Image(np.ones((3, 4), np.float32), variance=np.ones((3, 4), np.float32), wcs=WCS())


def test_planes_are_found_in_fields_tables_and_masks() -> None:
    table = QTable({"x": [1.0, 2.0], "flux": [1, 2] * u.Jy, "t": Time([1, 2], format="mjd")})
    table["m"] = MaskedColumn([1, 2], mask=[False, True])
    assert set(planes.planes(Table(table))) == {"table.x", "table.flux", "table.m", "table.m.mask"}
    assert set(planes.planes(image())) == {"data", "variance"}


def test_shared_memory_is_recognised_also_through_views() -> None:
    first = image()
    second = Image(first.data[::2, 1:])
    assert shared_planes(first, [second]) == {"data"}
    assert shared_planes(first, [image()]) == frozenset()
    assert nbytes(first) == 2 * 3 * 4 * 4
    assert nbytes(Image(first.data, variance=first.data)) == 3 * 4 * 4


def test_owning_copies_exactly_the_shared_planes() -> None:
    first = image()
    second = Image(first.data, wcs=first.wcs)
    owned = own(first, [second])
    assert owned.data is not first.data
    assert owned.variance is first.variance
    owned.data += 1
    owned.wcs.wcs.crval = [5, 5]
    assert (second.data == 1).all()
    assert second.wcs.wcs.crval[0] == 0


def test_owning_a_table_separates_columns_and_structure() -> None:
    shared = Table(QTable({"x": np.zeros(3), "f": np.zeros(3) * u.Jy}))
    owned = own(shared, [shared])
    owned.table["x"] += 1
    owned.table["f"] += 1 * u.Jy
    owned.table["new"] = 1
    assert shared.table.colnames == ["x", "f"]
    assert (shared.table["x"] == 0).all()
    assert (shared.table["f"] == 0 * u.Jy).all()


def test_mapping_planes_keeps_units_descriptions_and_all_else() -> None:
    table = QTable({"x": np.zeros(3), "f": np.zeros(3) * u.Jy}, meta={"a": 1})
    table["x"].description = "position"
    new = map_planes(Table(table), lambda _, plane: plane + plane)
    assert new.table["f"].unit == u.Jy
    assert new.table["x"].description == "position"
    assert new.table.meta == {"a": 1}


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes that the run copied, by nothing else than `own`."""
    total = {"bytes": 0}

    def counting(product: Any, others: Any) -> Any:
        others = list(others)
        owned = own(product, others)
        before = planes.planes(product)
        total["bytes"] += sum(
            plane.nbytes
            for path, plane in planes.planes(owned).items()
            if not np.shares_memory(plane, before[path])
        )
        return owned

    monkeypatch.setattr(caller, "own", counting)
    return total


PLANE = 4 * 5 * 4


@pytest.mark.parametrize(
    ("first", "output", "planes_copied", "expected"),
    [
        ("", "image", 0, 11.0),
        ('[[stage]]\nuse = "lab.blur"\n', "image", 0, 11.0),
        ('[[stage]]\nuse = "lab.blur"\n', "blurred", 1, 10.0),
    ],
)
def test_a_plane_is_copied_only_when_another_needed_product_shares_it(
    bench: Bench,
    copied: dict[str, int],
    first: str,
    output: str,
    planes_copied: int,
    expected: float,
) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + first + '[[stage]]\nuse = "lab.add"\n[outputs]\nimage = "lab.reduced"\n'
    if output == "blurred":
        text += 'blurred = "lab.combined"\n'
    record = bench.one(text)
    assert record.status is Status.DONE, record.why
    assert copied["bytes"] == planes_copied * PLANE
    assert (bench.data(record, output) == expected).all()
    assert (bench.data(record) == 11).all()


def test_a_product_kept_under_its_name_survives_a_renamed_change_in_place(
    bench: Bench, copied: dict[str, int]
) -> None:
    write_raw(bench.raw, 101, 7)
    text = ONE + '[[stage]]\nuse = "lab.add"\nout = { image = "filled" }\n'
    record = bench.one(text + '[outputs]\nimage = "lab.reduced"\nfilled = "lab.combined"\n')
    assert (bench.data(record) == 10).all()
    assert (bench.data(record, "filled") == 11).all()
    assert copied["bytes"] == PLANE


def test_products_are_let_go_after_their_last_reader(bench: Bench) -> None:
    import gc
    import weakref

    alive: list[int] = []
    seen: list[weakref.ref[Any]] = []
    original = caller.call_stage

    def watching(step: Any, arguments: Any, length: Any = None) -> Any:
        call = original(step, arguments, length)
        seen.extend(weakref.ref(p.data) for p in call.outputs.values() if isinstance(p, Image))
        gc.collect()
        alive.append(sum(ref() is not None for ref in seen))
        return call

    write_raw(bench.raw, 101, 7)
    names = ["image", "b0", "b1", "b2", "b3"]
    steps = "".join(
        f'[[stage]]\nid = "c{i}"\nuse = "lab.combine_one"\n'
        f'in = {{ image = "{names[i]}" }}\nout = {{ image = "{names[i + 1]}" }}\n'
        for i in range(4)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caller, "call_stage", watching)
        record = bench.one(ONE + steps + '[outputs]\nb3 = "lab.reduced"\n')
    assert record.status is Status.DONE, record.why
    assert alive == [1, 2, 2, 2]
