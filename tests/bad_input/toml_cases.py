"""Definitions, pipelines, reference rules and plans with one thing wrong in them.

A case is the text of a file and what the refusal must name: the file always, and the key.
"""

from __future__ import annotations

import copy
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tomlkit

WRONG: tuple[Any, ...] = (-17, 2.5, True, "xyzzy ?", "", [], [[1]], {"xyzzy": 1}, [{"xyzzy": 1}])
"""Put in the place of every value; most are of the wrong type for most keys."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Kind:
    """One kind of TOML file: a good one, and what is optional and free in it."""

    name: str
    text: str
    required: tuple[str, ...]
    """Last parts of paths without which the file is refused."""
    free: tuple[str, ...] = ()
    """Paths whose value may be of other types; with ``.*`` tables that may have any key."""
    several: tuple[str, ...] = ()
    """Paths whose value may be a list, even an empty one."""


@dataclass(frozen=True)
class Case:
    """One mistake."""

    name: str
    text: bytes
    causes: tuple[str, ...]


def cases(kind: Kind) -> list[Case]:
    """Return every case of one kind."""
    tree = tomllib.loads(kind.text)
    found = [*_unknown(kind, tree), *_absent(kind, tree), *_wrong(kind, tree), *_syntax(kind)]
    return list({case.name: case for case in found}.values())


def _unknown(kind: Kind, tree: dict[str, Any]) -> Iterator[Case]:
    for path, _table in _tables(tree):
        if f"{_shown(path)}.*" in kind.free:
            continue
        for name in ("xyzzy", "Name"):
            changed = copy.deepcopy(tree)
            _at(changed, path)[name] = "something"
            yield _case(kind, f"unknown-{_shown(path)}-{name}", changed, name)


def _absent(kind: Kind, tree: dict[str, Any]) -> Iterator[Case]:
    for path, _ in _values(tree):
        if path[-1] in kind.required:
            changed = copy.deepcopy(tree)
            del _at(changed, path[:-1])[path[-1]]
            yield _case(kind, f"without-{_shown(path)}", changed, str(path[-1]))


def _wrong(kind: Kind, tree: dict[str, Any]) -> Iterator[Case]:
    for path, value in _values(tree):
        if _shown(path) in kind.free:
            continue
        for number, wrong in enumerate(WRONG):
            if _may_be(value, wrong) or (wrong == [] and _shown(path) in kind.several):
                continue
            changed = copy.deepcopy(tree)
            _at(changed, path[:-1])[path[-1]] = wrong
            name = f"value-{_shown(path)}-{number}"
            names = [part for part in path[-2:] if isinstance(part, str)]
            names += ["xyzzy"] if isinstance(wrong, dict) else []
            yield _case(kind, name, changed, "|".join(names))


def _may_be(value: Any, wrong: Any) -> bool:
    """Return whether a wrong value is of the right type, or is read as one."""
    if isinstance(value, (dict, list)):
        return isinstance(wrong, type(value)) and not wrong
    kinds = {bool: bool, int: (int, float), float: (int, float), str: str}
    return isinstance(wrong, kinds.get(type(value), object))  # type: ignore[arg-type]


def _syntax(kind: Kind) -> Iterator[Case]:
    source = random.Random(kind.name)  # noqa: S311 - no secret
    text = kind.text.encode()
    broken = {
        "no-utf-8": b"\xff\xfe" + text,
        "twice": text + b"\n" + text,
        "nul": text.replace(b"=", b"\0", 1),
        "python": b"import os\nos.system('true')\n",
        "json": b'{"definition": {"name": "frame"}}',
        "yaml": b"definition:\n  name: frame\n",
        "xml": b"<definition/>",
        "deep": b"a = " + b"[" * 3000,
        "digits": b"a = " + b"9" * 5000,
    }
    for number in range(40):
        place = source.randrange(len(text))
        broken[f"brace-{number}"] = text[:place] + b"\n}]=\n" + text[place:]
    for number in range(20):
        broken[f"noise-{number}"] = bytes(source.choices(range(128, 256), k=50))
    for name, content in broken.items():
        yield Case(f"{kind.name}-syntax-{name}", content, ("TOML|utf-8",))


def _case(kind: Kind, name: str, tree: dict[str, Any], cause: str) -> Case:
    return Case(f"{kind.name}-{name}", tomlkit.dumps(tree).encode(), (cause,))


def _tables(tree: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(tree, dict):
        yield path, tree
    entries: Any = enumerate(tree) if isinstance(tree, list) else getattr(tree, "items", tuple)()
    for name, value in entries:
        if isinstance(value, (dict, list)):
            yield from _tables(value, (*path, name))


def _values(tree: Any) -> Iterator[tuple[Path, Any]]:
    for path, table in _tables(tree):
        for name, value in table.items():
            yield (*path, name), value


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _shown(path: Path) -> str:
    return ".".join(map(str, path)) or "top"


PIPELINE = Kind(
    "pipeline",
    """
[pipeline]
name = "l1"
summary = "A test"
group_by = ["obs_id", "detector"]
aliases = ["old-name"]
[requires]
csst-msc = ">=0.1,<0.2"
csst-calib = ">=0.1,<0.2"
csst-imaging = ">=0.1,<0.2"
[inputs.image]
definition = "msc.l0"
optional = false
many = false
[inputs.image.where]
detector = [6, 7]
[[stage]]
use = "calib.subtract_overscan"
id = "overscan"
required = true
[[stage]]
use = "calib.apply_gain"
in = { image = "image" }
references = { gain = "calib.gain" }
[[stage]]
use = "calib.estimate_variance"
params = { photon_noise = true }
[[stage]]
use = "calib.detect_cosmic_rays"
params = { method = "lacosmic", significance = 4.5 }
[[stage]]
use = "calib.fill_flagged"
out = { filled = "smooth" }
[outputs]
image = ["msc.l1_image", "msc.l1_flags"]
""",
    free=("inputs.image.where.detector",),
    required=("name", "definition", "use", "pipeline", "inputs", "stage", "outputs", "summary"),
)

DEFINITION = Kind(
    "definition",
    r"""
[definition]
name = "frame"
summary = "A frame"
product = "Image"
source = "ours"
[file]
name = "CAM_{obs_id}_{detector}.fits"
accept = ["OLD_{obs_id}.fits"]
[file.fields]
obs_id = { pattern = '\d{9}', from = "meta.obs_id" }
detector = { pattern = '\d{2}', from = "meta.detector", format = "02d" }
[identify]
INSTRUME = ["CAM"]
[meta]
obs_id = "OBSID"
detector = { file = "detector", type = "int" }
exposure_time = "EXPTIME"
gain = { keywords = "GAIN{:02d}", count = 4, unit = "electron / adu" }
level = { value = 1 }
[keys]
brick = { keyword = "BRICK" }
[flags]
bad = { value = 1, comment = "bad pixel" }
hot = { value = 2 }
[[hdu]]
name = "PRIMARY"
[hdu.sections]
OBSID = "Observation"
[hdu.keywords]
INSTRUME = { type = "str", required = true, value = "CAM" }
STA = { type = "int", from = "status.frame", fill = 1 }
OBSID = { type = "str", pattern = '\d+', synonyms = ["OBS_ID"], from = "meta.obs_id" }
EXPTIME = { type = "float", unit = "s", minimum = 0.0, from = "meta.exposure_time" }
MODE = { type = "str", choices = ["FAST", "SLOW"], from = "header.MODE" }
[[hdu]]
name = "SCI"
synonyms = ["IMG"]
plane = "data"
dtype = "float32"
unit = "electron / s"
wcs = true
[[hdu]]
name = "CAT"
[[hdu.column]]
name = "X"
dtype = "float32"
unit = "pixel"
required = true
[[check]]
id = "sky"
use = "imaging.sky_level"
when = "written"
maximum = 5.0
[[figure]]
use = "imaging.preview"
""",
    required=("definition", "name", "summary", "product", "use", "id"),
    free=(
        *("identify.*", "identify", "identify.INSTRUME", "keys.*", "keys.brick"),
        *("meta.obs_id", "meta.detector", "meta.exposure_time", "meta.gain", "meta.level"),
        "meta.level.value",
    ),
    several=(
        *("file.fields.obs_id.from", "file.fields.detector.from", "hdu.0.keywords.OBSID.from"),
        *("hdu.0.keywords.EXPTIME.from", "hdu.0.keywords.MODE.from", "hdu.0.keywords.STA.from"),
    ),
)

RULES = Kind(
    "rules",
    """
[reference]
type = "calib.bias"
[[rule]]
file = "bias_06.fits"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
match = { instrument = "MSC", detector = 6 }
[[rule]]
file = "bias_07.fits"
sha256 = "0f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
useafter = 2027-01-01T00:00:00Z
[rule.match]
instrument = "MSC"
detector = [7, 8]
temperature = { minimum = 180.0, maximum = 190.0 }
""",
    required=("reference", "type", "file", "sha256"),
    free=("rule.0.match.detector", "rule.1.match.detector", "rule.1.match.temperature"),
)

PLAN = Kind(
    "plan",
    """
name = "night"
kind = "imaging"
readout = "920x608"
detectors = [6, 7]
instrument_seed = 1
[effects]
cosmic_rays = false
stars = true
[sky]
seed = 2
stars_per_arcmin2 = 70.0
star_g_mag = [15.0, 26.0]
[[exposure]]
obs_id = "10100000001"
time = 2028-01-01T00:00:00Z
file_type = "SCIE"
exposure_time_s = 150.0
ra_deg = 180.0
dec_deg = 30.0
position_angle_deg = 10.0
detectors = [8]
effects = { galaxies = false }
[[exposure]]
obs_id = "10100000002"
time = 2028-01-01T01:00:00Z
""",
    required=("name", "kind", "obs_id", "time", "exposure"),
)
KINDS = (PIPELINE, DEFINITION, RULES, PLAN)
