"""The hooks of csstcore: what a plugin may declare.

Each hook is a function in ``plugin.py`` without arguments that returns a list of
declarations. None of them decides order or data flow: pipelines do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from pluggy import HookspecMarker

from csstcore.plugin import (
    Check,
    Declaration,
    Definition,
    Figure,
    Layout,
    Pipeline,
    Reader,
    ReferenceRules,
    ReferenceType,
    Stage,
)

hookspec = HookspecMarker("csstcore")


class HookSpecs(Protocol):
    """All hooks, one kind of declaration each.

    A plugin implements those it needs, each marked with `csstcore.plugin.hookimpl`; they are
    called once per process, by discovery.
    """

    @hookspec
    def csst_stages(self) -> list[Stage]:
        """Return the stages: processing steps that pipelines use by ``namespace.name``."""

    @hookspec
    def csst_pipelines(self) -> list[Pipeline]:
        """Return the pipelines: TOML files beside ``plugin.py`` that ``csstcore run`` starts."""

    @hookspec
    def csst_definitions(self) -> list[Definition]:
        """Return the definitions: TOML data models of the files this plugin knows."""

    @hookspec
    def csst_readers(self) -> list[Reader]:
        """Return the readers: functions for files that are not FITS by a definition."""

    @hookspec
    def csst_references(self) -> list[ReferenceType | ReferenceRules]:
        """Return the reference types that stages ask for, and the rules shipped for any type."""

    @hookspec
    def csst_checks(self) -> list[Check]:
        """Return the checks: functions from a product to a number that definitions limit."""

    @hookspec
    def csst_figures(self) -> list[Figure | Layout]:
        """Return the figures of products, and the layouts in which a report shows its jobs."""


HOOKS: Final[Mapping[str, tuple[type[Declaration], ...]]] = MappingProxyType(
    {
        "csst_checks": (Check,),
        "csst_definitions": (Definition,),
        "csst_figures": (Figure, Layout),
        "csst_pipelines": (Pipeline,),
        "csst_readers": (Reader,),
        "csst_references": (ReferenceType, ReferenceRules),
        "csst_stages": (Stage,),
    }
)
"""The kinds of declaration that each hook returns."""
