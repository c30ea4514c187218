"""Time of reading 2,000 rules and of 432,000 best-reference look-ups, on one core.

    python benchmarks/references.py

36,000 observations (30 detectors, 1,200 exposures) and 12 reference types, each with a rule for
every detector and each of 60 dates. Nothing is remembered between look-ups: every observation is
made anew from its header values, and every look-up looks whether the file is there.
"""

from __future__ import annotations

import time
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from csstcore.definitions.header import Header
from csstcore.definitions.load import load_definition
from csstcore.definitions.meta import read_meta
from csstcore.plugin import ReferenceType, hookimpl
from csstcore.plugins.registry import Registry
from csstcore.references import ReferenceStore
from csstcore.references.observation import Observation
from csstcore.references.rules import read_rules

TYPES, DETECTORS, DATES, EXPOSURES = 12, 30, 60, 1200
START = datetime(2027, 1, 1, tzinfo=UTC)
DEFINITION = """
[definition]
name = "raw"
summary = "Raw frame"
product = "Image"
[meta]
instrument = "INSTRUME"
obs_id = "OBSID"
detector = { keyword = "DETECTOR", type = "int" }
readout = "DETSIZE"
filter = "FILTER"
time = "DATE-OBS"
exposure_time = "EXPTIME"
[[hdu]]
name = "PRIMARY"
[hdu.keywords]
INSTRUME = { type = "str" }
OBSID = { type = "str" }
DETECTOR = { type = "int" }
DETSIZE = { type = "str" }
FILTER = { type = "str" }
DATE-OBS = { type = "str" }
EXPTIME = { type = "float", unit = "s" }
[[hdu]]
name = "SCI"
plane = "data"
"""


def rule_text(reference_type: str, dates: int, detectors: int) -> str:
    """Return a rule file with a rule for every detector and date."""
    lines = [f'[reference]\ntype = "{reference_type}"\n']
    for date in range(dates):
        start = START + timedelta(days=6 * date)
        for detector in range(1, detectors + 1):
            lines.append(
                f'[[rule]]\nfile = "{reference_type}_{detector:02d}_{date:02d}.fits"\n'
                f'sha256 = "{hash((detector, date)) & (2**256 - 1):064x}"\n'
                f'match = {{ instrument = "MSC", detector = {detector}, '
                f'readout = "9560x9264" }}\nuseafter = {start:%Y-%m-%dT%H:%M:%SZ}\n'
            )
    return "\n".join(lines)


def headers() -> list[dict[str, object]]:
    """Return the header values of every observation."""
    return [
        {
            "INSTRUME": "MSC",
            "OBSID": f"{10100000000 + exposure}",
            "DETECTOR": detector,
            "DETSIZE": "9560x9264",
            "FILTER": "g",
            "DATE-OBS": f"{START + timedelta(hours=7 * exposure):%Y-%m-%dT%H:%M:%S.123}",
            "EXPTIME": 150.0,
        }
        for exposure in range(EXPOSURES)
        for detector in range(1, DETECTORS + 1)
    ]


def timed(what: str, work: Callable[[], object], goal: str = "") -> None:
    """Print the CPU time of one call."""
    start = time.process_time()
    work()
    print(f"{what}: {time.process_time() - start:.3f} s {goal}")


def make_store(folder: Path) -> ReferenceStore:
    """Make a store of 12 types with rules and (empty) files."""
    names = [f"type{number}" for number in range(TYPES)]
    module: Any = ModuleType("bench.plugin")

    @hookimpl
    def csst_references() -> list[ReferenceType]:
        return [ReferenceType(name, "fits", "Reference") for name in names]

    module.csst_references = csst_references
    (folder / "rules").mkdir()
    for name in names:
        text = rule_text(f"bench.{name}", DATES, DETECTORS)
        (folder / "rules" / f"bench.{name}.toml").write_text(text)
        for rule in tomllib.loads(text)["rule"]:
            file = folder / "files" / rule["sha256"][:2] / rule["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return ReferenceStore(folder, Registry.of({"bench": module}))


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "calib.bias.toml"
        path.write_text(rule_text("calib.bias", 67, DETECTORS))
        count = len(tomllib.loads(path.read_text())["rule"])
        read_rules(path, "calib.bias", need_sha256=True)  # imports and compiles
        timed(f"tomllib alone, {count} rules", lambda: tomllib.loads(path.read_text()))
        timed(
            f"read and check {count} rules",
            lambda: read_rules(path, "calib.bias", need_sha256=True),
            "(goal 0.3)",
        )
        model = folder / "raw.toml"
        model.write_text(DEFINITION)
        definition = load_definition(model).bound("bench.raw", model, None)
        store = make_store(folder)
        types = [f"bench.type{number}" for number in range(TYPES)]
        timed(f"read and prepare the {TYPES * DATES * DETECTORS} rules of the store", store.list)
        observed = headers()
        found: Counter[str] = Counter()

        def look_up() -> None:
            for values in observed:
                observation = Observation(read_meta(definition, Header(path, values)))
                found.update(store.choose(name, observation).path.name for name in types)

        timed(
            f"{len(observed) * TYPES} look-ups from the values of {len(observed)} headers",
            look_up,
            "(goal 10)",
        )
        assert found.total() == len(observed) * TYPES
        assert len(found) == TYPES * DETECTORS * min(DATES, -(-EXPOSURES * 7 // (24 * 6)))


if __name__ == "__main__":
    main()
