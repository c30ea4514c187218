"""The plan of a simulation: a TOML file with exposures, and one exposure of one detector."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, InstanceOf, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from csstcore.api import FileError, Meta

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

P = TypeVar("P")

FileType: TypeAlias = Literal["SCIE", "BIAS", "DARK", "FLAT"]


def _utc(value: Any) -> Any:
    """Return a TOML date and time as text in UTC; one without offset is UTC already."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise ValueError(f"expected a date and time, found {value!r}")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


UtcTime: TypeAlias = Annotated[str, BeforeValidator(_utc)]
DetectorId: TypeAlias = Annotated[int, Field(ge=1, le=30)]


@dataclass(frozen=True, config=_STRICT)
class Effects:
    """What is simulated; everything by default but stray light and satellites."""

    stars: bool = True
    galaxies: bool = True
    sky: bool = True
    distortion: bool = True
    pointing_error: bool = True
    psf_variation: bool = True
    photon_noise: bool = True
    dark: bool = True
    hot_pixels: bool = True
    dead_pixels: bool = True
    prnu: bool = True
    illumination: bool = True
    shutter: bool = True
    brighter_fatter: bool = True
    cosmic_rays: bool = True
    saturation: bool = True
    charge_transfer: bool = True
    nonlinearity: bool = True
    bias_structure: bool = True
    read_noise: bool = True
    satellite_trails: bool = False
    ghosts: bool = False
    scattered_light: bool = False


@dataclass(frozen=True, config=_STRICT)
class SkySettings:
    """The simulated sky: a function of its seed and densities alone."""

    seed: int = 1
    stars_per_arcmin2: Annotated[float, Field(ge=0)] = 70.0
    galaxies_per_arcmin2: Annotated[float, Field(ge=0)] = 124.0
    star_g_mag: tuple[float, float] = (15.0, 26.0)
    star_slope: float = 0.2
    """log10 of the counts per magnitude grows by this much per magnitude."""
    star_reddening: Annotated[float, Field(ge=0)] = 0.05
    """Mean E(B-V) of the stars."""
    galaxy_i_mag: tuple[float, float] = (18.0, 26.0)
    galaxy_slope: float = 0.35


@dataclass(frozen=True, config=_STRICT)
class Exposure:
    """One exposure of the plan."""

    obs_id: Annotated[str, Field(pattern=r"^\d{11}$")]
    time: UtcTime
    """Start, ISO 8601 in UTC."""
    file_type: FileType = "SCIE"
    exposure_time_s: Annotated[float, Field(ge=0)] = 150.0
    ra_deg: Annotated[float, Field(ge=0, lt=360)] = 0.0
    dec_deg: Annotated[float, Field(ge=-90, le=90)] = 0.0
    position_angle_deg: float = 113.4333
    lamp_electron_per_s: Annotated[float, Field(ge=0)] = 0.0
    """Mean level of the LED per pixel, for FLAT."""
    throughput: Annotated[float, Field(gt=0)] = 1.0
    """Of telescope and sky-side optics, relative to what the filter's zero point says."""
    detectors: tuple[DetectorId, ...] = ()
    effects: dict[str, bool] = field(default_factory=dict)
    """Differences from the plan's effects."""


@dataclass(frozen=True, config=_STRICT)
class Plan:
    """Exposures and settings; the product of the reader ``sim.plan``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    kind: Literal["imaging", "calibration"]
    exposure: tuple[Exposure, ...]
    readout: str = "9560x9264"
    detectors: tuple[DetectorId, ...] = ()
    """Detectors of every exposure that lists none."""
    instrument_seed: int = 1
    """Draws the detectors and the optics, the same for all exposures."""
    effects: Effects = field(default_factory=Effects)
    sky: SkySettings = field(default_factory=SkySettings)
    meta: InstanceOf[Meta] = field(default_factory=Meta)

    def exposure_of(self, obs_id: str, detector: int) -> Exposure | None:
        """Return the exposure, or None if it or its detector is not planned."""
        for exposure in self.exposure:
            if exposure.obs_id == obs_id and detector in (exposure.detectors or self.detectors):
                return exposure
        return None

    def effects_of(self, exposure: Exposure) -> Effects:
        """Return the plan's effects with the changes of one exposure."""
        return replace(self.effects, **exposure.effects)


_adapter: TypeAdapter[Plan] = TypeAdapter(Plan)
_EFFECTS = {entry.name for entry in fields(Effects)}


def parse_plan(values: Mapping[str, Any], origin: str) -> Plan:
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


def toml_values(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file, or a `FileError`."""
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except (OSError, ValueError, RecursionError) as error:  # of the file, UTF-8 or TOML
        raise FileError(f"{path}: not a TOML file: {error}") from None


def validated(
    adapter: TypeAdapter[P],
    values: Mapping[str, Any],
    origin: str,
    problems: Callable[[P], Iterable[str]],
) -> P:
    """Return what a plan's values make, or a `FileError` that names every wrong entry.

    `problems` says what is wrong with a plan whose entries are right one by one.
    """
    try:
        plan = adapter.validate_python(dict(values))
        wrong = list(problems(plan))
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        ]
    if wrong:
        raise FileError(f"{origin}: " + "; ".join(wrong))
    return plan


def _problems(plan: Plan) -> list[str]:
    found = [] if plan.exposure else ["exposure: the plan has none"]
    known: set[str] = set()
    for exposure in plan.exposure:
        name = f"exposure {exposure.obs_id}"
        if exposure.obs_id in known:
            found.append(f"{name}: obs_id occurs twice")
        known.add(exposure.obs_id)
        if not (exposure.detectors or plan.detectors):
            found.append(f"{name}: no detectors, neither here nor in the plan")
        if (plan.kind == "imaging") != (exposure.file_type == "SCIE"):
            found.append(f"{name}: file_type {exposure.file_type} in a plan of kind {plan.kind}")
        found += [
            f"{name}: no effect is called {key!r}"
            for key in exposure.effects
            if key not in _EFFECTS
        ]
    return found


def read_plan(path: Path, *, header_only: bool = False) -> tuple[Mapping[str, Any], list[Any]]:
    """Read the plan of a simulation.

    Parameters
    ----------
    path
        TOML file.
    header_only
        Give no product.

    Returns
    -------
    header
        ``NAME``, ``KIND``, ``READOUT``, ``INSTRUME``, ``OBSIDS`` and ``DETECTORS``.
    products
        One `Plan`.

    Raises
    ------
    FileError
        If the file is not TOML or not a valid plan.
    """
    plan = parse_plan(toml_values(path), str(path))
    header = {
        "NAME": plan.name,
        "KIND": plan.kind,
        "INSTRUME": "MSC",
        "READOUT": plan.readout,
        "OBSIDS": [exposure.obs_id for exposure in plan.exposure],
        "DETECTORS": sorted(
            {number for entry in plan.exposure for number in entry.detectors or plan.detectors}
        ),
    }
    meta = Meta(instrument="MSC", readout=plan.readout, object=plan.name, file_type=plan.kind)
    return header, [] if header_only else [replace(plan, meta=meta)]


def obs_ids(header: Mapping[str, Any]) -> list[str]:
    """Return the identifiers of the exposures of a plan."""
    return list(header["OBSIDS"])


def detectors(header: Mapping[str, Any]) -> list[int]:
    """Return the detectors of a plan."""
    return list(header["DETECTORS"])
