"""The hook specifications are documented, typed, and known to the collector."""

import inspect
from typing import Union, get_args, get_type_hints

import pytest

from csstcore.plugin import Declaration
from csstcore.plugins.hooks import HOOKS, HookSpecs

SPECS = {name: f for name, f in vars(HookSpecs).items() if name.startswith("csst_")}


def test_the_collector_knows_every_hook():
    assert set(HOOKS) == set(SPECS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_no_arguments_and_is_documented(name):
    assert list(inspect.signature(SPECS[name]).parameters) == ["self"]
    assert SPECS[name].__doc__


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_returns_the_kinds_the_collector_accepts(name):
    returned = get_type_hints(SPECS[name])["return"]
    assert returned == list[Union[HOOKS[name]]]  # noqa: UP007


def test_every_kind_of_declaration_has_exactly_one_hook():
    kinds = [kind for kinds in HOOKS.values() for kind in kinds]
    assert sorted(kinds, key=str) == sorted(get_args(Declaration), key=str)
