"""All that a plugin's ``plugin.py`` imports: the hook marker and the declarations.

Standard library and pluggy only, so that listing every plugin stays cheap. A declaration
names a thing once; nothing it points at is imported before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pluggy import HookimplMarker

hookimpl = HookimplMarker("csstcore")
"""Marks a function of ``plugin.py`` as a hook implementation."""


@dataclass(frozen=True)
class Stage:
    """A processing step: a typed function (see *Write a plugin*)."""

    name: str
    """Name inside the plugin's namespace; also the stage's default id in a pipeline."""
    target: str
    """Import string ``"package.module:function"``."""
    summary: str
    """First line of the function's docstring, without the full stop."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: a TOML file."""

    name: str
    """Name inside the plugin's namespace; equal to ``[pipeline] name``."""
    path: str
    """Path of the TOML file, relative to the folder of ``plugin.py``."""
    summary: str
    """Equal to ``[pipeline] summary``."""


@dataclass(frozen=True)
class Definition:
    """A data definition: a TOML file."""

    name: str
    """Name inside the plugin's namespace; equal to ``[definition] name``."""
    path: str
    """Path of the TOML file, relative to the folder of ``plugin.py``."""
    summary: str
    """Equal to ``[definition] summary``."""


@dataclass(frozen=True)
class Reader:
    """Reads files that FITS-by-definition cannot: a function from path to products."""

    name: str
    """Name by which a definition refers to it (``reader = "namespace.name"``)."""
    target: str
    """Import string ``"package.module:function"``."""
    summary: str
    """First line of the function's docstring, without the full stop."""


@dataclass(frozen=True)
class ReferenceType:
    """A kind of calibration reference that stages of this plugin ask for."""

    name: str
    """Reference type: the name of the stage parameter marked ``Reference[...]``."""
    kind: Literal["fits", "toml", "json", "onnx", "parquet"]
    """How the file is stored."""
    summary: str
    """What the reference holds, in a few words."""
    definition: str | None = None
    """Full name of the definition that a FITS or Parquet reference satisfies."""
    product: str | None = None
    """Import string of the type that a TOML or JSON reference is validated into."""


@dataclass(frozen=True)
class ReferenceRules:
    """Rules (and the files beside them) for one reference type, shipped with a plugin."""

    name: str
    """Full name of the reference type the rules choose for, e.g. ``"calib.readout"``."""
    path: str
    """Path of the rule file, relative to the folder of ``plugin.py``."""
    summary: str
    """What the shipped references are, in a few words."""


@dataclass(frozen=True)
class Check:
    """A quality check: a function from a product to a number."""

    name: str
    """Name inside the plugin's namespace; definitions give it limits."""
    target: str
    """Import string ``"package.module:function"``."""
    summary: str
    """First line of the function's docstring, without the full stop."""


@dataclass(frozen=True)
class Figure:
    """A picture for the report: a function from a product to a matplotlib figure."""

    name: str
    """Name inside the plugin's namespace; definitions say which products it shows."""
    target: str
    """Import string ``"package.module:function"``."""
    summary: str
    """First line of the function's docstring, without the full stop."""


@dataclass(frozen=True)
class Layout:
    """Where the values of a key stand in a picture, e.g. detectors in a focal plane.

    The report of a run over files of this plugin shows its jobs there.
    """

    name: str
    """Name inside the plugin's namespace; equal to ``[layout] name``."""
    path: str
    """Path of the TOML file, relative to the folder of ``plugin.py``."""
    summary: str
    """Equal to ``[layout] summary``."""


Declaration: TypeAlias = (
    Stage
    | Pipeline
    | Definition
    | Reader
    | ReferenceType
    | ReferenceRules
    | Check
    | Figure
    | Layout
)
