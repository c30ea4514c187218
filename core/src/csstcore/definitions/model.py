"""`DefinitionModel`: the shape of a definition's TOML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from csstcore.definitions.hdu_model import (
    HduModel,
    Origins,
    Regex,
    Scalar,
    Strict,
    Unit,
    as_tuple,
)
from csstcore.errors import nearest
from csstcore.products.meta import META_FIELDS


class HeadModel(Strict):
    """``[definition]``: what the definition is about."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    summary: str
    product: str
    reader: str | None = None
    source: str = ""


class FieldModel(Strict):
    """One field of the file name."""

    pattern: Regex
    source: Origins = Field((), alias="from")
    value: str | None = None
    format: str | None = None


class FileModel(Strict):
    """``[file]``: how such files are called."""

    name: str
    accept: tuple[str, ...] = ()
    fields: dict[str, FieldModel] = Field({})

    @model_validator(mode="after")
    def _fields_declared(self) -> FileModel:
        for template in (self.name, *self.accept):
            for name in re.findall(r"\{([^{}]*)\}", template):
                if name not in self.fields:
                    raise ValueError(
                        f"the file name uses {{{name}}}, which [file.fields] does not declare"
                        + nearest(name, self.fields)
                    )
        return self


def _as_rules(value: Any) -> Any:
    return tuple({"keyword": v} if isinstance(v, str) else v for v in as_tuple(value))


class MetaRule(Strict):
    """Where a field of `Meta` (or a grouping key) comes from."""

    keyword: str | None = None
    keywords: str | None = None
    count: int = Field(1, gt=0)
    first: int = 1
    time: str | None = None
    file: str | None = None
    value: Scalar | None = None
    function: str | None = None
    unit: Unit | None = None
    type: Literal["int", "float", "str"] | None = None
    format: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> MetaRule:
        given = [
            name
            for name in ("keyword", "keywords", "file", "value", "function")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "needs exactly one of keyword, keywords, file, value, function; found "
                + (", ".join(given) or "none")
            )
        return self


Rules = Annotated[tuple[MetaRule, ...], BeforeValidator(_as_rules)]


class FlagModel(Strict):
    """One flag of an image."""

    value: int = Field(gt=0, le=32768)
    comment: str = ""
    proposed: bool = False

    @model_validator(mode="after")
    def _one_bit(self) -> FlagModel:
        if self.value & (self.value - 1):
            raise ValueError(f"{self.value} is not a power of two")
        return self


class CheckModel(Strict):
    """``[[check]]``: a check with its limits."""

    id: str
    use: str
    when: Literal["read", "written"] = "written"
    minimum: float | None = None
    maximum: float | None = None
    comment: str = ""
    proposed: bool = False


class FigureModel(Strict):
    """``[[figure]]``: a picture for the report."""

    use: str


class DefinitionModel(Strict):
    """One kind of file."""

    definition: HeadModel
    file: FileModel | None = None
    identify: dict[str, Annotated[tuple[Scalar, ...], BeforeValidator(as_tuple)]] = Field({})
    meta: dict[str, Rules] = Field({})
    keys: dict[str, Rules] = Field({})
    flags: dict[str, FlagModel] = Field({})
    hdu: tuple[HduModel, ...] = ()
    check: tuple[CheckModel, ...] = ()
    figure: tuple[FigureModel, ...] = ()

    _full_name: str = PrivateAttr("")
    _path: Path | None = PrivateAttr(None)
    _reader: str | None = PrivateAttr(None)

    @property
    def full_name(self) -> str:
        """``namespace.name``, or the bare name of a definition read by itself."""
        return self._full_name or self.definition.name

    @property
    def path(self) -> Path | None:
        """The TOML file."""
        return self._path

    @property
    def reader_target(self) -> str | None:
        """Import string of the custom reader."""
        return self._reader

    @property
    def flag_bits(self) -> dict[str, int]:
        """Names and values of the flags."""
        return {name: flag.value for name, flag in self.flags.items()}

    def bound(self, full_name: str, path: Path | None, reader: str | None) -> DefinitionModel:
        """Return the definition with what only the registry knows about it."""
        copy = self.model_copy()
        copy._full_name, copy._path, copy._reader = full_name, path, reader
        return copy

    @model_validator(mode="after")
    def _consistent(self) -> DefinitionModel:
        problems = [
            f"[meta] {name} is not a field of Meta{nearest(name, META_FIELDS)}"
            for name in self.meta
            if name not in META_FIELDS
        ]
        problems += [
            f"[keys] {name} is given in [meta] already" for name in self.keys if name in self.meta
        ]
        problems += [
            f"[[hdu]] {name} is given {count} times"
            for name, count in _repeated([hdu.name for hdu in self.hdu])
        ]
        problems += [
            f"[[hdu]] {hdu.name} has split = 'units', so it must be the last and hold an image"
            for hdu in self.hdu
            if hdu.split == "units" and (hdu is not self.hdu[-1] or hdu.is_table or not hdu.layers)
        ]
        problems += [
            f"[[check]] {name} is given {count} times"
            for name, count in _repeated([check.id for check in self.check])
        ]
        problems += [
            f"[flags] value {value} is given {count} times"
            for value, count in _repeated([flag.value for flag in self.flags.values()])
        ]
        if self.file is not None:
            for name, rules in {**self.meta, **self.keys}.items():
                for rule in rules:
                    if rule.file is not None and rule.file not in self.file.fields:
                        problems.append(
                            f"{name} comes from the file-name field {rule.file!r}, which is not "
                            f"declared{nearest(rule.file, self.file.fields)}"
                        )
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _repeated(values: list[Any]) -> list[tuple[Any, int]]:
    return [
        (value, values.count(value)) for value in dict.fromkeys(values) if values.count(value) > 1
    ]
