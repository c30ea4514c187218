"""The plan of terahertz observations: sky, schedules and faults, as a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, InstanceOf, TypeAdapter
from pydantic.dataclasses import dataclass

from csst_sim.plan import UtcTime, toml_values, validated
from csstcore.api import Meta

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

Count: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0)]
Ra: TypeAlias = Annotated[float, Field(ge=0, lt=360)]
Dec: TypeAlias = Annotated[float, Field(ge=-90, le=90)]


@dataclass(frozen=True, config=_STRICT)
class Source:
    """A round Gaussian source with one Gaussian line."""

    peak_kelvin: float
    """Main-beam brightness at the line's peak: of the source before the beam if it has a size,
    towards its centre if it is a point."""
    rest_frequency_ghz: Positive = 492.1607
    """[C I] 492.1607 or CO(4-3) 461.0408, or any other."""
    velocity_kms: float = 0.0
    """Radio velocity at the local standard of rest."""
    fwhm_kms: Positive = 3.0
    ra_offset_arcsec: float = 0.0
    """From the target, on the sky."""
    dec_offset_arcsec: float = 0.0
    size_arcsec: NotNegative | None = None
    """Full width at half maximum; 0 is a point, None fills the beam at every position but OFF."""
    gradient_kms_per_arcmin: float = 0.0
    """Velocity gradient towards the east."""
    continuum_kelvin: NotNegative = 0.0
    """Main-beam brightness in both sidebands."""


@dataclass(frozen=True, config=_STRICT)
class Faults:
    """What goes wrong, for tests; dumps are counted from 0 as scheduled."""

    dropped: tuple[Count, ...] = ()
    """Dumps that are missing in the file."""
    not_a_number: tuple[Count, ...] = ()
    """Dumps whose counts are all NaN."""
    clock_jump_dump: Count | None = None
    """From here on the time of the dumps is wrong."""
    clock_jump_s: float = 0.0
    off_line_kelvin: float = 0.0
    """Main-beam brightness in the off position of a copy of the first source's line."""
    dead_channels: tuple[Count, ...] = ()
    spur_channels: tuple[Count, ...] = ()


@dataclass(frozen=True, config=_STRICT)
class Observation:
    """One file: loads, off and on positions in turn."""

    obs_id: Annotated[str, Field(pattern=r"^5\d{10}$")]
    time: UtcTime
    """Start, ISO 8601 in UTC."""
    file_type: Literal["TARG", "OTFM", "CALI"] = "TARG"
    ra_deg: Ra = 83.82208
    dec_deg: Dec = -5.39111
    off_ra_arcsec: float = 3600.0
    """Of the off position from the target, on the sky."""
    off_dec_arcsec: float = 0.0
    dump_s: Positive = 1.0
    gap_s: NotNegative = 4.0
    """Between two positions, and between sky and loads."""
    load_dumps: Count = 4
    """Of each load; 0 for none."""
    load_interval_s: Positive = 300.0
    off_dumps: Count = 10
    on_dumps: Count = 10
    """Per cycle of a target, or per row of a map; of CALI none."""
    cycles: Annotated[int, Field(ge=1)] = 4
    """Pairs of off and on, turned about each time (OFF ON ON OFF); of CALI pairs of loads."""
    rows: Annotated[int, Field(ge=1)] = 10
    """Of a map."""
    rows_per_off: Annotated[int, Field(ge=1)] = 1
    row_spacing_arcsec: Positive = 25.0
    dump_spacing_arcsec: Positive = 15.0
    """Path of the beam in one dump of a map."""
    turnaround_dumps: Count = 2
    """Between two rows of a map, state SKIP."""
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, config=_STRICT)
class Effects:
    """What is simulated."""

    noise: bool = True
    gain_drift: bool = True
    standing_waves: bool = True
    thermal_coupling: bool = True
    cosmic_rays: bool = True
    sideband_ripple: bool = True
    load_couplings: bool = True
    """Couplings to the loads are not quite those that calibration is told."""
    digitisation: bool = True


@dataclass(frozen=True, config=_STRICT)
class HstdmPlan:
    """Observations of one project; the product of the reader ``sim.hstdm_plan``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    kind: Literal["hstdm"]
    observation: tuple[Observation, ...]
    source: tuple[Source, ...] = ()
    project_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "P0001"
    channels: Annotated[int, Field(ge=16, le=65536)] = 16384
    channel_width_hz: Positive = 73242.1875
    line_ghz: Positive = 492.1607
    """Rest frequency that the receiver is tuned to."""
    tuned_velocity_kms: float = 0.0
    """Velocity at the middle of the band, local standard of rest."""
    sideband: Literal["USB", "LSB"] = "USB"
    instrument_seed: int = 1
    """Draws the receiver, the same for all observations."""
    effects: Effects = field(default_factory=Effects)
    meta: InstanceOf[Meta] = field(default_factory=Meta)

    def observation_of(self, obs_id: str) -> Observation | None:
        """Return an observation, or None if it is not planned."""
        return next((each for each in self.observation if each.obs_id == obs_id), None)


_adapter: TypeAdapter[HstdmPlan] = TypeAdapter(HstdmPlan)


def parse_plan(values: Mapping[str, Any], origin: str) -> HstdmPlan:
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


def _problems(plan: HstdmPlan) -> list[str]:
    known = [each.obs_id for each in plan.observation]
    twice = sorted({name for name in known if known.count(name) > 1})
    found = [] if known else ["observation: the plan has none"]
    return found + [f"observation {name}: obs_id occurs twice" for name in twice]


def read_plan(path: Path, *, header_only: bool = False) -> tuple[Mapping[str, Any], list[Any]]:
    """Read the plan of terahertz observations.

    Parameters
    ----------
    path
        TOML file.
    header_only
        Give no product.

    Returns
    -------
    header
        ``NAME``, ``KIND``, ``INSTRUME``, ``PROJECT`` and ``OBSIDS``.
    products
        One `HstdmPlan`.

    Raises
    ------
    FileError
        If the file is not TOML or not a valid plan.
    """
    plan = parse_plan(toml_values(path), str(path))
    header = {
        "NAME": plan.name,
        "KIND": plan.kind,
        "INSTRUME": "HSTDM",
        "PROJECT": plan.project_id,
        "OBSIDS": [each.obs_id for each in plan.observation],
    }
    meta = Meta(
        instrument="HSTDM", object=plan.name, project_id=plan.project_id, file_type=plan.kind
    )
    return header, [] if header_only else [replace(plan, meta=meta)]
