"""The plan of coronagraph observations: stars, planets and files, as a TOML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, InstanceOf, TypeAdapter
from pydantic.dataclasses import dataclass

from csst_sim.cpic.effects import CpicEffects
from csst_sim.plan import UtcTime, toml_values, validated
from csstcore.api import Meta

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

Positive: TypeAlias = Annotated[float, Field(gt=0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0)]
FileType: TypeAlias = Literal[
    "SCIE", "PSF", "BIAS", "DARK", "FLAT", "CIC", "EMGAIN", "CTI", "LINEARITY"
]

STAR_TYPES = ("SCIE", "PSF")
"""Frames of a star: behind the mask, and beside it."""
LAMP_TYPES = ("FLAT", "EMGAIN", "CTI", "LINEARITY")
"""Frames of a lamp."""
_UNEXPOSED = ("BIAS", "CIC")


@dataclass(frozen=True, config=_STRICT)
class Planet:
    """A companion of a star."""

    separation_mas: Positive
    position_angle_deg: float
    """From north through east."""
    contrast: NotNegative
    """Flux over that of the star, both before the mask."""


@dataclass(frozen=True, config=_STRICT)
class Star:
    """A star with its planets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9+_.-]+$")]
    magnitude: float
    """In the filter of the plan."""
    ra_deg: Annotated[float, Field(ge=0, lt=360)] = 0.0
    dec_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    planet: tuple[Planet, ...] = ()


@dataclass(frozen=True, config=_STRICT)
class Observation:
    """One file: frames with one roll, one EM gain and one exposure time."""

    obs_id: Annotated[str, Field(pattern=r"^4\d{10}$")]
    time: UtcTime
    """Start, ISO 8601 in UTC."""
    file_type: FileType = "SCIE"
    frames: Annotated[int, Field(ge=1)] = 10
    exposure_time_s: NotNegative = 10.0
    em_gain: Annotated[float, Field(ge=1)] = 1.0
    """As commanded; the true one differs."""
    star: str | None = None
    """Name of the star, of SCIE and PSF."""
    position_angle_deg: float = 0.0
    """Of the frame's +y axis: the roll."""
    attenuation: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the light that a neutral filter passes, of PSF."""
    lamp_electron_per_s: NotNegative = 0.0
    """Mean level of the lamp, of FLAT, EMGAIN, CTI and LINEARITY."""
    effects: dict[str, bool] = field(default_factory=dict)
    """Differences from the plan's effects."""


@dataclass(frozen=True, config=_STRICT)
class CpicPlan:
    """Observations of one camera; the product of the reader ``sim.cpic_plan``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    kind: Literal["cpic"]
    observation: tuple[Observation, ...]
    star: tuple[Star, ...] = ()
    project_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "P0001"
    readout: str = "1080x1050"
    """``"176x136"`` is a small format for tests."""
    filter: Literal["f565", "f661", "f743", "f883"] = "f661"
    raw_contrast: Positive = 1e-8
    """Mean brightness of speckles in the dark zone over that of the star's peak."""
    satellite_spot_contrast: NotNegative = 0.0
    """Flux of each of four satellite spots over that of the star; 0 for none."""
    instrument_seed: int = 1
    """Draws the camera, the speckles and the pointing, the same in all plans with this seed."""
    effects: CpicEffects = field(default_factory=CpicEffects)
    meta: InstanceOf[Meta] = field(default_factory=Meta)

    def observation_of(self, obs_id: str) -> Observation | None:
        """Return an observation, or None if it is not planned."""
        return next((each for each in self.observation if each.obs_id == obs_id), None)

    def star_of(self, observation: Observation) -> Star | None:
        """Return the star of an observation, or None for a calibration."""
        return next((each for each in self.star if each.name == observation.star), None)

    def effects_of(self, observation: Observation) -> CpicEffects:
        """Return the plan's effects with the changes of one observation."""
        return replace(self.effects, **observation.effects)


_adapter: TypeAdapter[CpicPlan] = TypeAdapter(CpicPlan)
_EFFECTS = {entry.name for entry in fields(CpicEffects)}


def parse_plan(values: Mapping[str, Any], origin: str) -> CpicPlan:
    """Validate the values of a plan.

    Parameters
    ----------
    values
        The TOML document.
    origin
        What the values are called in messages.

    Raises
    ------
    FileError
        Naming every wrong entry.
    """
    return validated(_adapter, values, origin, _problems)


def _problems(plan: CpicPlan) -> Iterator[str]:
    if not plan.observation:
        yield "observation: the plan has none"
    names = [star.name for star in plan.star]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"star {name}: occurs twice"
    known: set[str] = set()
    for each in plan.observation:
        if each.obs_id in known:
            yield f"observation {each.obs_id}: obs_id occurs twice"
        known.add(each.obs_id)
        for problem in _observation_problems(each, names):
            yield f"observation {each.obs_id}: {problem}"


def _observation_problems(observation: Observation, stars: list[str]) -> Iterator[str]:
    kind = observation.file_type
    if kind in STAR_TYPES and observation.star is None:
        yield f"file_type {kind} needs a star"
    if kind not in STAR_TYPES and observation.star is not None:
        yield f"file_type {kind} has no star, found {observation.star!r}"
    if observation.star is not None and observation.star not in stars:
        yield f"no star is called {observation.star!r}; the plan has {', '.join(stars) or 'none'}"
    if kind in LAMP_TYPES and observation.lamp_electron_per_s == 0:
        yield f"file_type {kind} needs lamp_electron_per_s"
    if kind not in LAMP_TYPES and observation.lamp_electron_per_s > 0:
        yield f"file_type {kind} has no lamp, found lamp_electron_per_s"
    if kind in _UNEXPOSED and observation.exposure_time_s > 0:
        yield f"file_type {kind} has exposure_time_s 0, found {observation.exposure_time_s:g}"
    if kind not in _UNEXPOSED and observation.exposure_time_s == 0:
        yield f"file_type {kind} needs an exposure_time_s above 0"
    if kind != "PSF" and observation.attenuation != 1:
        yield f"file_type {kind} has no attenuation"
    for key in observation.effects:
        if key not in _EFFECTS:
            yield f"no effect is called {key!r}"


def read_plan(path: Path, *, header_only: bool = False) -> tuple[Mapping[str, Any], list[Any]]:
    """Read the plan of coronagraph observations.

    Parameters
    ----------
    path
        TOML file.
    header_only
        Give no product.

    Returns
    -------
    header
        ``NAME``, ``KIND``, ``INSTRUME``, ``READOUT``, ``PROJECT`` and ``OBSIDS``.
    products
        One `CpicPlan`.

    Raises
    ------
    FileError
        If the file is not TOML or not a valid plan.
    """
    plan = parse_plan(toml_values(path), str(path))
    header = {
        "NAME": plan.name,
        "KIND": plan.kind,
        "INSTRUME": "CPIC",
        "READOUT": plan.readout,
        "PROJECT": plan.project_id,
        "OBSIDS": [each.obs_id for each in plan.observation],
    }
    meta = Meta(
        instrument="CPIC",
        object=plan.name,
        project_id=plan.project_id,
        readout=plan.readout,
        file_type=plan.kind,
    )
    return header, [] if header_only else [replace(plan, meta=meta)]
