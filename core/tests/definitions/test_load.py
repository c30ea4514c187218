"""Reading a definition says everything that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csstcore.definitions.load import load_definition
from csstcore.errors import ConfigurationError, CsstError, Problems

BASE = """
[definition]
name = "d"
summary = "s"
product = "Image"
"""


def problems_of(define, text: str) -> str:
    with pytest.raises(Problems) as caught:
        define(BASE + text)
    assert "definition.toml" in str(caught.value)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[fiel]", "fiel: unknown key (did you mean 'file'?)"),
        ("[[hdu]]\nname='A'\nplain='data'", "hdu.0.plain: unknown key (did you mean 'plane'?)"),
        (
            "[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='int', requird=true}",
            "hdu.0.keywords.X.requird: unknown key (did you mean 'required'?)",
        ),
        ("[[hdu]]\nname='A'\n[hdu.keywords]\nX={}", "hdu.0.keywords.X.type: missing"),
        ("[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='real'}", "'int', 'float', 'str' or 'bool'"),
        ("[[hdu]]\nname='A'\ndtype='float33'", "'float33' is not a number type"),
        ("[[hdu]]\nname='A'\nunit='parsnip'", "'parsnip' is not a unit"),
        ("[[hdu]]\nname='A'\n[[hdu]]\nname='A'", "[[hdu]] A is given 2 times"),
        ("[[hdu]]\nname='A'\n[hdu.sections]\nX='t'", "begins with X, which is not declared"),
        ("[meta]\nexposuretime='EXPTIME'", "did you mean 'exposure_time'?"),
        ("[meta]\nobs_id={file='obs_id', value=1}", "exactly one of keyword"),
        ("[file]\nname='{a}.fits'", "uses {a}, which [file.fields] does not declare"),
        ("[file]\nname='a'\n[meta]\nobs_id={file='obs'}", "file-name field 'obs'"),
        ("[file]\nname='a'\n[file.fields]\na={pattern='('}", "not a regular expression"),
        ("[flags]\nbad={value=3}", "3 is not a power of two"),
        ("[flags]\nbad={value=1}\nhot={value=1}", "[flags] value 1 is given 2 times"),
        ("[meta]\nbrick='B'\n[keys]\nbrick='B'", "[keys] brick is given in [meta] already"),
        (
            "[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='int', from='metrics.a'}",
            "did you mean 'metric'?",
        ),
        (
            "[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='int', from='meta.exposure'}",
            "'exposure' is not a field of Meta",
        ),
        (
            "[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='int', from='metric.a', value=1}",
            "both `from` and `value`",
        ),
        (
            "[[hdu]]\nname='A'\n[hdu.keywords]\nX={type='float', unit='s', from_unit='m'}",
            "from_unit 'm' does not convert into 's'",
        ),
        ("[[hdu]]\nname='A'\n[[hdu.column]]\nname='X'\ndtype='f4'\nrepeat=2", "belong together"),
        ("[[check]]\nid='a'\nuse='b'\nwhen='never'", "'read' or 'written'"),
    ],
)
def test_each_mistake_is_named(define, text: str, expected: str) -> None:
    assert expected in problems_of(define, text)


def test_all_mistakes_are_reported_at_once(define) -> None:
    text = "[fiel]\n[[hdu]]\nname='A'\nunit='parsnip'\n[hdu.keywords]\nX={}"
    assert len(problems_of(define, text).splitlines()) == 3


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[definition")
    with pytest.raises(ConfigurationError, match=r"x\.toml: not a TOML file"):
        load_definition(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not a TOML file"):
        load_definition(path)
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read"):
        load_definition(tmp_path / "none.toml")


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(alphabet="ab{}.%(", max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "hdu", "type", "from", "keyword", "value", "pattern", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    assert isinstance(value, dict)
    return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + "}"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    table=st.sampled_from(
        ["definition", "file", "identify", "meta", "keys", "flags", "hdu", "check", "figure", "z"]
    ),
    value=VALUES,
)
def test_any_toml_is_read_or_refused_by_name(tmp_path: Path, table: str, value: object) -> None:
    path = tmp_path / "fuzz.toml"
    head = "" if table == "definition" else "definition = {name='d', summary='', product='Image'}\n"
    path.write_text(f"{head}{table} = {as_toml(value)}\n")
    try:
        load_definition(path)
    except CsstError as error:
        assert "fuzz.toml" in str(error)  # noqa: PT017 - any outcome but this is right
