"""A definition as a readable table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from csstcore.definitions.hdu_model import ColumnModel, HduModel, KeywordModel
from csstcore.definitions.model import CheckModel, DefinitionModel, FlagModel, MetaRule


def describe_definition(definition: DefinitionModel) -> str:
    """Return what files of a definition look like, as text.

    Entries that no document gives are marked ``proposed``.
    """
    head = definition.definition
    lines = [f"{definition.full_name}: {head.summary}", f"product  {head.product}"]
    if head.reader:
        lines.append(f"reader   {head.reader}")
    if head.source:
        lines.append(f"source   {head.source.strip()}")
    for title, rows in _tables(definition):
        if rows or title.startswith("HDU "):
            lines += ["", title, *_aligned(rows)]
    return "\n".join(lines)


def _tables(definition: DefinitionModel) -> Iterator[tuple[str, list[Sequence[str]]]]:
    file = definition.file
    if file is not None:
        names = [(f"also {name}",) for name in file.accept]
        fields = [(k, v.pattern, _origin(v.source, v.value)) for k, v in file.fields.items()]
        yield f"File name  {file.name}", [*names, *fields]
    yield "Recognised by", [(k, " or ".join(map(str, v))) for k, v in definition.identify.items()]
    yield "Core fields", [(k, " or ".join(map(_rule, v))) for k, v in definition.meta.items()]
    yield "Grouping keys", [(k, " or ".join(map(_rule, v))) for k, v in definition.keys.items()]
    for hdu in definition.hdu:
        keywords = [_keyword(name, model) for name, model in hdu.keywords.items()]
        yield _hdu_title(hdu), [*keywords, *map(_column, hdu.column)]
    flags = definition.flags.items()
    yield "Flags", [(str(flag.value), name, *_end(flag)) for name, flag in flags]
    yield "Checks", [(c.id, c.use, c.when, _limits(c), c.comment) for c in definition.check]
    yield "Figures", [(figure.use,) for figure in definition.figure]


def _hdu_title(hdu: HduModel) -> str:
    parts = [f"HDU {hdu.name}"]
    if hdu.synonyms:
        parts.append(f"(or {', '.join(hdu.synonyms)})")
    if hdu.layers:
        form = "" if hdu.form == "variance" else f" as {hdu.form.replace('_', ' ')}"
        parts.append(f"holds {' and '.join(str(layer.plane) for layer in hdu.layers)}{form}")
    shape = hdu.shape and " x ".join(map(str, hdu.shape))
    parts += [part for part in (hdu.dtype, hdu.unit and f"[{hdu.unit}]", shape) if part]
    marks = {
        "with WCS": hdu.wcs,
        "one product per frame": hdu.split == "axis",
        "one unit per frame": hdu.split == "units",
        "optional": not hdu.required,
    }
    parts += [text for text, given in marks.items() if given]
    return "  ".join(parts)


def _keyword(name: str, model: KeywordModel) -> Sequence[str]:
    if model.count is not None:
        last = model.first + model.count - 1
        name = f"{name.format(model.first, n=model.first)}..{name.format(last, n=last)}"
    allowed = [model.pattern or "", ", ".join(map(str, model.choices)), _limits(model)]
    return (
        name,
        model.type + (f" [{model.unit}]" if model.unit else ""),
        "required" if model.required else f"fill {model.fill_value}" if model.source else "",
        _origin(model.source, model.value),
        " ".join(part for part in allowed if part),
        f"also {', '.join(model.synonyms)}" if model.synonyms else "",
        *_end(model),
    )


def _column(model: ColumnModel) -> Sequence[str]:
    return (
        model.name if model.repeat is None else f"{model.names[0]}..{model.repeat}",
        model.dtype + (f" [{model.unit}]" if model.unit else ""),
        "required" if model.required else "",
        f"from {model.product_name}",
        "" if model.fill is None else f"fill {model.fill}",
        f"also {', '.join(model.synonyms)}" if model.synonyms else "",
        *_end(model),
    )


def _end(model: KeywordModel | ColumnModel | FlagModel) -> tuple[str, str]:
    return "proposed" if model.proposed else "", model.comment


def _origin(source: tuple[str, ...], value: object) -> str:
    if value is not None:
        return f"= {value}"
    return f"from {' or '.join(source)}" if source else ""


def _rule(rule: MetaRule) -> str:
    unit = f" [{rule.unit}]" if rule.unit else ""
    if rule.keywords is not None:
        return f"{rule.keywords.format(rule.first, n=rule.first)}.. ({rule.count}){unit}"
    if rule.keyword is not None:
        return rule.keyword + (f"+{rule.time}" if rule.time else "") + unit
    if rule.file is not None:
        return f"file name {{{rule.file}}}"
    return rule.function if rule.function is not None else f"= {rule.value}"


def _limits(model: KeywordModel | CheckModel) -> str:
    low, high = ("" if x is None else f"{x:g}" for x in (model.minimum, model.maximum))
    return f"{low}..{high}" if low or high else ""


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with columns of equal width; columns that are empty throughout are left out."""
    wide = [row for row in rows if len(row) > 1]
    count = max((len(row) for row in wide), default=0)
    widths = [max(len(row[i]) for row in wide if i < len(row)) for i in range(count)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width]
        lines.append("  " + ("  ".join(cells) if len(row) > 1 else row[0]).rstrip())
    return lines
