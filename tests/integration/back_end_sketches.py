"""Stages of every back-end as bare signatures: what the contract must be able to express."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from numpy.random import Generator

from csstcore.api import (
    Cube,
    Image,
    InPlace,
    Mask,
    Onnx,
    Reference,
    Spectra,
    Table,
    Wcs,
)


@dataclass
class Trace:
    """Where spectra lie on a detector."""


@dataclass
class TraceModel:
    """How traces depend on position."""


@dataclass
class Distortion:
    """Distortion of a focal plane."""


@dataclass
class ZeroPoint:
    """Magnitude of one unit of flux per second."""


@dataclass
class Psf:
    """How a point looks, by position."""


# --- mbi: one image; catalogues of one exposure; catalogues and images of one brick


def fill_flagged(image: InPlace[Image]) -> Image: ...


def detect_sources(
    image: Image, *, threshold: float = 1.5
) -> tuple[Annotated[Table, "sources"], Annotated[Image, "background"]]: ...


def solve_position(
    image: Image,
    sources: Table,
    stars: Reference[Table],
    distortion: Reference[Distortion] | None = None,
) -> Annotated[Wcs, "wcs"]: ...


def set_wcs(image: Image, wcs: Wcs) -> Annotated[Image, "image"]: ...


def calibrate_flux(
    image: Image, sources: Table, stars: Reference[Table], colour_terms: Reference[Table]
) -> Annotated[ZeroPoint, "zero_point"]: ...


def model_psf(image: Image, sources: Table) -> Annotated[Psf, "psf"]: ...


def measure_photometry(
    image: Image,
    sources: Table,
    background: Image,
    psf: Psf | None = None,
    zero_point: ZeroPoint | None = None,
) -> Annotated[Table, "catalog"]: ...


def solve_focal_plane(
    sources: Sequence[Table], stars: Reference[Table], distortion: Reference[Distortion]
) -> Annotated[Sequence[Wcs | None], "wcs"]: ...


def merge_catalogs(
    catalogs: Sequence[Table], *, brick: int, radius_arcsec: float = 0.3
) -> Annotated[Table, "merged"]: ...


def coadd(images: Sequence[Image], *, brick: int) -> Annotated[Image, "coadd"]: ...


# --- sls


def find_zeroth_orders(
    image: Image, catalog: Table, detection_model: Reference[Onnx] | None = None
) -> Annotated[Table, "zeroth"]: ...


def fit_trace(
    image: Image,
    trace_model: Reference[TraceModel],
    stars: Reference[Table],
    zeroth: Table | None = None,
) -> Annotated[Trace, "trace"]: ...


def estimate_sky(
    image: Image, trace: Trace, sky_template: Reference[Image]
) -> Annotated[Image, "sky"]: ...


def model_contamination(
    image: Image,
    sky: Image,
    trace: Trace,
    catalog: Table,
    sensitivity: Reference[Spectra],
    spectra: Spectra | None = None,
) -> tuple[Annotated[Image, "scene"], Annotated[Image, "contamination"]]: ...


def merge_bricks(bricks: Sequence[Table]) -> Annotated[Table, "catalog"]: ...


def extract_spectra(
    image: Image, trace: Trace, contamination: Image, catalog: Table
) -> Annotated[Spectra, "spectra"]: ...


def extract_joint(
    images: Sequence[Image], traces: Sequence[Trace]
) -> Annotated[Spectra, "spectra"]: ...


# --- cpic


def flag_cosmic_rays(
    frames: Sequence[Image], em_gain: Reference[Table]
) -> Annotated[Sequence[Mask], "cosmic_rays"]: ...


def set_flags(image: InPlace[Image], cosmic_rays: Mask) -> Image: ...


def combine(images: Sequence[Image], *, clip_mad: float = 5.0) -> Annotated[Image, "combined"]: ...


def subtract_bias(
    image: InPlace[Image], bias: Reference[Image], *, scale: float = 1.0
) -> Image: ...


def fit_dark_and_cic(
    darks: Sequence[Image],
) -> tuple[Annotated[Image, "dark_rate"], Annotated[Image, "cic"]]: ...


def select_frames(frames: Sequence[Image]) -> Annotated[Sequence[Image | None], "frames"]: ...


def subtract_psf(
    frames: Sequence[Image], library: Reference[Cube] | None = None
) -> Annotated[Image, "residual"]: ...


# --- ifs


def extract_slices(
    image: Image, slice_trace: Reference[TraceModel]
) -> Annotated[Spectra, "spectra"]: ...


def splice(spectra: Sequence[Spectra]) -> Annotated[Spectra, "spectrum"]: ...


def register(spectra: Sequence[Spectra]) -> Annotated[Sequence[Wcs | None], "wcs"]: ...


def build_cube(spectra: Sequence[Spectra], wcs: Sequence[Wcs]) -> Annotated[Cube, "cube"]: ...


# --- hstdm


def flag_glitches(dumps: InPlace[Spectra]) -> Spectra: ...


def solve_loads(dumps: Spectra) -> Annotated[Table, "load_gain"]: ...


def calibrate(
    dumps: InPlace[Spectra], load_gain: Table, sideband_gain: Reference[Spectra]
) -> Spectra: ...


def subtract_off(dumps: Sequence[Spectra]) -> Annotated[Sequence[Spectra | None], "dumps"]: ...


def shift_to_lsrk(dumps: Spectra, orbit: Reference[Table]) -> Annotated[Spectra, "dumps"]: ...


def average(dumps: Sequence[Spectra]) -> Annotated[Spectra, "spectrum"]: ...


def grid(dumps: Sequence[Spectra]) -> Annotated[Cube, "cube"]: ...


# --- ast


def solve_frame(
    catalog: Table, stars: Reference[Table], orbit: Reference[Table], element: Reference[Table]
) -> tuple[Annotated[Table, "positions"], Annotated[Wcs, "wcs"]]: ...


def match_epochs(
    catalogs: Sequence[Table], stars: Reference[Table], *, brick: int
) -> Annotated[Table, "observations"]: ...


def fit_five_parameters(
    observations: Table, orbit: Reference[Table]
) -> Annotated[Table, "stars"]: ...


def detect_moving(
    catalog: Table, static_sky: Reference[Table]
) -> Annotated[Table, "tracklets"]: ...


def link(tracklets: Sequence[Table], orbit: Reference[Table]) -> Annotated[Table, "orbits"]: ...


# --- sim


def draw_scene(
    pointing: Table,
    stars: Reference[Table],
    galaxies: Reference[Table],
    *,
    rng: Generator,
    detector: int,
    mode: Literal["image", "slitless"] = "image",
) -> tuple[Annotated[Image, "image"], Annotated[Table, "truth"]]: ...


def add_cosmic_rays(
    image: InPlace[Image], *, rng: Generator
) -> tuple[Image, Annotated[Image, "cosmic_rays"]]: ...
