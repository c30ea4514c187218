"""`HduModel`: one header-data unit of a definition's TOML, its keywords and columns."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from csstcore.definitions.units import parse_unit
from csstcore.errors import nearest
from csstcore.products.meta import META_FIELDS

Scalar: TypeAlias = bool | int | float | str
Form: TypeAlias = Literal["variance", "inverse_variance", "standard_deviation"]

DEFAULT_FILL: dict[str, Scalar | None] = {
    "float": -9999.0,
    "int": -9999,
    "str": "N/A",
    "bool": None,
}
"""Fill values by the documented convention of the Level 1 headers."""

_TYPES: dict[str, tuple[type, ...]] = {
    "float": (int, float),
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
}


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as cause:
        raise ValueError(f"{text!r} is not a regular expression: {cause}") from None
    return text


def _unit(text: str) -> str:
    parse_unit(text)
    return text


def _dtype(text: str) -> str:
    try:
        kind = np.dtype(text).kind
    except TypeError:
        raise ValueError(f"{text!r} is not a number type") from None
    if kind not in "biufSU":
        raise ValueError(f"{text!r} is not a type that FITS can hold")
    return text


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, and anything else as a tuple of one."""
    return tuple(value) if isinstance(value, list) else (value,)


Regex = Annotated[str, AfterValidator(_regex)]
Unit = Annotated[str, AfterValidator(_unit)]
Dtype = Annotated[str, AfterValidator(_dtype)]
KeywordName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-{}:]+$")]


ORIGINS = (
    *("header", "meta", "status", "time", "reference", "metric", "check", "record"),
    *("version", "field", "key", "product"),
)
"""Kinds of `from`; each is followed by a dot and a name."""


PRODUCT_FIELD = re.compile(
    r"(?P<field>[a-z]\w*)"
    r"(?:\[(?P<part>\d+)\]|\.shape\[(?P<axis>\d+)\]|\.(?P<column>[a-z]\w*)\[(?P<row>\d+)\])?"
)
"""What follows ``product.``: a field, a part of one, the length of an axis, a cell of a table."""


def _origin(text: str) -> str:
    kind, dot, name = text.partition(".")
    if kind not in ORIGINS or not (dot and name):
        raise ValueError(
            f"`from` is {text!r}, expected one of {', '.join(ORIGINS)}, a dot and a name"
            + nearest(kind, ORIGINS)
        )
    if kind == "meta" and name not in META_FIELDS:
        raise ValueError(f"{name!r} is not a field of Meta{nearest(name, META_FIELDS)}")
    if kind == "product" and not PRODUCT_FIELD.fullmatch(name):
        raise ValueError(f"{name!r} is not FIELD, FIELD[2], FIELD.shape[2] or FIELD.COLUMN[2]")
    return text


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(as_tuple)]
"""One origin or several, the first that has a value counting."""


class Strict(BaseModel):
    """A table of the TOML: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeywordModel(Strict):
    """One keyword of a header, or `count` keywords numbered from `first`."""

    type: Literal["int", "float", "str", "bool"]
    required: bool = False
    unit: Unit | None = None
    comment: str = ""
    synonyms: tuple[KeywordName, ...] = ()
    pattern: Regex | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Scalar, ...] = ()
    fill: Scalar | None = None
    source: Origins = Field((), alias="from")
    from_unit: Unit | None = None
    value: Scalar | None = None
    format: str | None = None
    count: int | None = Field(None, gt=0)
    first: int = 1
    proposed: bool = False
    _index: int | None = PrivateAttr(None)

    @property
    def index(self) -> int | None:
        """Position of a numbered keyword among its like, from 0."""
        return self._index

    def numbered(self, n: int) -> KeywordModel:
        """Return the keyword numbered `n` of a group."""
        copy = self.model_copy(
            update={
                "synonyms": tuple(s.format(n, n=n) for s in self.synonyms),
                "source": tuple(s.format(n, n=n) for s in self.source),
            }
        )
        copy._index = n - self.first
        return copy

    @property
    def fill_value(self) -> Scalar | None:
        """The value that stands for "unknown"."""
        return self.fill if self.fill is not None else DEFAULT_FILL[self.type]

    @model_validator(mode="after")
    def _units_convert(self) -> KeywordModel:
        if self.from_unit is not None and not (
            self.unit is not None
            and parse_unit(self.from_unit).is_equivalent(parse_unit(self.unit))
        ):
            raise ValueError(f"from_unit {self.from_unit!r} does not convert into {self.unit!r}")
        return self

    @model_validator(mode="after")
    def _values_have_the_type(self) -> KeywordModel:
        for name, given in (("value", self.value), ("fill", self.fill)):
            if given is not None and type(given) not in _TYPES[self.type]:
                raise ValueError(f"`{name}` is {given!r}, which is no {self.type}")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> KeywordModel:
        if self.source and self.value is not None:
            raise ValueError("has both `from` and `value`; keep one")
        return self


class ColumnModel(Strict):
    """One column of a table, or `repeat` columns made of one column with two axes.

    `from` names the product's column; ``column[2]`` takes a part of one with two axes,
    ``meta.FIELD`` repeats a core field, ``row.number`` counts from 1. These three are only
    for writing: such columns are read under their own name. With `plane` it is no column of
    the product's table but a plane of its own; with `time` it is an `astropy.time.Time` (UTC).
    """

    name: str
    source: str | None = Field(None, alias="from")
    dtype: Dtype
    unit: Unit | None = None
    comment: str = ""
    fill: Scalar | None = None
    synonyms: tuple[str, ...] = ()
    required: bool = False
    repeat: int | None = Field(None, gt=0)
    plane: str | None = None
    quantity: bool = False
    time: Literal["mjd", "jd", "isot"] | None = None
    proposed: bool = False

    @property
    def product_name(self) -> str:
        """Name of the product's column."""
        if self.source is not None and not self.source.isidentifier():
            return self.name
        return self.source or self.name.replace("{n}", "").rstrip("_")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the file."""
        if self.repeat is None:
            return (self.name,)
        return tuple(self.name.format(n=n) for n in range(1, self.repeat + 1))

    @model_validator(mode="after")
    def _repeat_is_named(self) -> ColumnModel:
        if (self.repeat is not None) != ("{n}" in self.name):
            raise ValueError("`repeat` and `{n}` in the name belong together")
        return self

    @model_validator(mode="after")
    def _plane_is_whole(self) -> ColumnModel:
        if self.plane is not None and (self.source or self.repeat or self.fill is not None):
            raise ValueError("`plane` goes without `from`, `repeat` and `fill`")
        if self.quantity and self.plane is None:
            raise ValueError("`quantity` is for columns with `plane`")
        return self

    @model_validator(mode="after")
    def _time_is_alone(self) -> ColumnModel:
        if self.time is not None and (self.plane or self.repeat or self.fill is not None):
            raise ValueError("`time` goes without `plane`, `repeat` and `fill`")
        kinds = "SU" if self.time == "isot" else "f"
        if self.time is not None and np.dtype(self.dtype).kind not in kinds:
            raise ValueError(f"`time` is {self.time!r}, which {self.dtype!r} cannot hold")
        return self


class HduModel(Strict):
    """``[[hdu]]``: one header-data unit and the plane of the product it holds.

    `planes` are several along its first axis, in one type. With ``split = "units"`` it stands
    for one unit per frame.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    plane: str | None = None
    planes: tuple[str, ...] = ()
    kind: Literal["image", "table"] | None = None
    required: bool = True
    dtype: Dtype | None = None
    unit: Unit | None = None
    shape: tuple[int, ...] | None = None
    quantity: bool = False
    wcs: bool = False
    split: Literal["axis", "units"] | None = None
    form: Form = "variance"
    zero_where_flagged: bool = False
    single_row: bool = False
    keywords: dict[KeywordName, KeywordModel] = {}
    sections: dict[str, str] = {}
    column: tuple[ColumnModel, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether the unit is a table."""
        if self.kind is not None:
            return self.kind == "table"
        return bool(self.column) or self.plane in ("table", "rows")

    @cached_property
    def cards(self) -> dict[str, KeywordModel]:
        """Keywords with the numbered ones written out."""
        cards: dict[str, KeywordModel] = {}
        for name, model in self.keywords.items():
            if model.count is None:
                cards[name] = model
                continue
            for n in range(model.first, model.first + model.count):
                cards[name.format(n, n=n)] = model.numbered(n)
        return cards

    @property
    def layers(self) -> tuple[HduModel, ...]:
        """The unit as declared for each of its planes alone."""
        if not self.planes:
            return ((self,) if self.plane is not None else ()) + self.column_layers
        types = {name: self.dtype if name != "flags" else "uint16" for name in self.planes}
        return tuple(
            self.model_copy(update={"plane": name, "planes": (), "dtype": types[name]})
            for name in self.planes
        )

    @property
    def column_layers(self) -> tuple[HduModel, ...]:
        """The planes that are columns of this table, each as a unit of its own."""
        return tuple(
            HduModel(
                name=self.name,
                plane=column.plane,
                dtype=column.dtype,
                unit=column.unit,
                quantity=column.quantity,
                form=self.form,
            )
            for column in self.column
            if column.plane is not None
        )

    @model_validator(mode="after")
    def _single_row_is_of_planes(self) -> HduModel:
        if self.single_row and (self.plane is not None or not self.column_layers):
            raise ValueError("`single_row` is for a table without `plane` whose columns have one")
        names = [layer.plane for layer in self.column_layers]
        if len(set(names)) != len(names) or self.plane in names:
            raise ValueError(f"one plane is given twice: {', '.join(map(str, names))}")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> HduModel:
        names = [name.upper() for column in self.column for name in column.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns are declared twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _planes_are_of_one_image(self) -> HduModel:
        if self.planes and (self.plane or self.column or self.quantity or self.split == "axis"):
            raise ValueError(
                "`planes` is for an image unit without `plane`, `column`, `quantity` and "
                "split = 'axis'"
            )
        return self

    @model_validator(mode="after")
    def _sections_begin_with_keywords(self) -> HduModel:
        for keyword in self.sections:
            if keyword not in self.keywords:
                raise ValueError(
                    f"a section begins with {keyword}, which is not declared"
                    + nearest(keyword, self.keywords)
                )
        return self
