"""What a job holds while it runs: products, series, and the elements they follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csstcore.definitions.header import Header
from csstcore.products.meta import Meta
from csstcore.products.planes import Footprint, footprint


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an input: a file, a frame of a file, or several files of one product."""

    root: str
    """Name of the input, or of the series that a stage began."""
    index: int
    keys: Mapping[str, Any]
    header: Header
    meta: Meta
    """As read."""
    source: str
    """Path of its first file."""
    label: str
    """Short name for records and messages, unique in its input: the keys that it does not
    share with its job, with its number where other elements have the same."""


@dataclass(slots=True)
class Series:
    """Products that follow the elements of a root; None where a stage gave none.

    The root is an input, or a series that a stage made of nothing but single products.
    """

    root: str
    products: dict[int, Any] = field(default_factory=dict)
    _footprints: dict[int, tuple[Any, Footprint]] = field(default_factory=dict)

    def footprints(self) -> Iterator[tuple[int, Footprint]]:
        """Yield what every product holds on to, by index; found once for each.

        A long series is asked for this before every call on one of its elements.
        """
        known = self._footprints
        self._footprints = {}
        for index, product in self.products.items():
            if product is None:
                continue
            old = known.get(index)
            entry = old if old and old[0] is product else (product, footprint(product))
            self._footprints[index] = entry
            yield index, entry[1]


@dataclass(slots=True)
class Values:
    """All products of a job by name, and which elements are still in it."""

    elements: dict[str, list[Element]] = field(default_factory=dict)
    """By input; one for an input that is not a series."""
    by_name: dict[str, Any] = field(default_factory=dict)
    """A product, or a `Series`."""
    dropped: dict[str, dict[int, str]] = field(default_factory=dict)
    """Elements that left, with the reason, by input."""

    def begin(
        self, root: str, products: Sequence[Any], job_keys: Mapping[str, Any]
    ) -> list[Element]:
        """Begin a series that follows no input: its elements are frames, numbered from 0."""
        self.elements[root] = [
            Element(
                root,
                index,
                {**job_keys, "frame": index},
                Header(Path(root), {}),
                getattr(product, "meta", None) or Meta(),
                root,
                f"frame {index}",
            )
            for index, product in enumerate(products)
        ]
        return self.elements[root]

    def remaining(self, root: str) -> list[Element]:
        """Return the elements of an input that have not dropped out."""
        gone = self.dropped.get(root, {})
        return [element for element in self.elements[root] if element.index not in gone]

    def is_dropped(self, element: Element) -> bool:
        """Return whether an element has dropped out."""
        return element.index in self.dropped.get(element.root, {})

    def drop(self, element: Element, why: str) -> None:
        """Take an element out, with everything made of it."""
        self.dropped.setdefault(element.root, {})[element.index] = why
        for value in self.by_name.values():
            if isinstance(value, Series) and value.root == element.root:
                value.products.pop(element.index, None)

    def keep_only(self, names: frozenset[str]) -> None:
        """Let go of every product that nothing reads any more."""
        for name in [name for name in self.by_name if name not in names]:
            del self.by_name[name]

    def products(self, names: frozenset[str]) -> Iterator[Any]:
        """Yield every product among the named ones, elements of series one by one."""
        for name in names:
            value = self.by_name.get(name)
            if isinstance(value, Series):
                yield from (product for product in value.products.values() if product is not None)
            elif value is not None:
                yield value

    def matching(self, series: Series, element: Element) -> list[int]:
        """Return the elements of a series that belong to an element of another input.

        Elements of one input are matched by themselves, those of two inputs by the keys that
        both have.
        """
        if series.root == element.root:
            return [element.index] if element.index in series.products else []
        others = [other for other in self.remaining(series.root) if other.index in series.products]
        return [other.index for other in others if agree(element.keys, other.keys)]

    def partners(self, first: str, second: str, job_keys: Mapping[str, Any]) -> dict[int, Element]:
        """Return the element of one input that belongs to each element of another.

        They belong together if the keys that all elements of both have, other than those of
        the job, tell every element apart and match one to one. Elements that dropped out
        count too, so that a failure never changes what belongs together.

        Returns
        -------
        dict
            By index in `first`; empty if the inputs do not match one to one.
        """
        ours, theirs = self.elements[first], self.elements[second]
        if first == second:
            return {element.index: element for element in ours}
        if not ours or len(ours) != len(theirs):
            return {}
        shared = set.intersection(*(set(element.keys) for element in (*ours, *theirs)))
        names = sorted(shared - job_keys.keys())
        if not names:
            return {}
        by_keys = {tuple(other.keys[name] for name in names): other for other in theirs}
        found = {e.index: by_keys.get(tuple(e.keys[name] for name in names)) for e in ours}
        pairs = {index: other for index, other in found.items() if other is not None}
        distinct = {other.index for other in pairs.values()}
        return pairs if len(distinct) == len(ours) else {}


def agree(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two elements share keys, and all shared keys have the same value."""
    shared = first.keys() & second.keys()
    return bool(shared) and all(first[name] == second[name] for name in shared)
