"""Which observations and products would get other references by other rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from csstcore.definitions.catalog import Definitions
from csstcore.errors import CsstError, ReferenceFileError
from csstcore.products.meta import Meta
from csstcore.references.adding import meta_of
from csstcore.references.choose import NoReferenceError
from csstcore.references.observation import Observation
from csstcore.references.store import ReferenceStore
from csstcore.run.chosen import NONE
from csstcore.run.index import peek_index
from csstcore.run.record import load_record


@dataclass(frozen=True, slots=True)
class Change:
    """A reference that is another one by the new rules."""

    subject: str
    """A file, or pipeline and job."""
    type: str
    """Reference type; empty if the rules could not be asked, and `new` says why."""
    old: str
    new: str


def changes_of_file(
    subject: str, meta: Meta, types: list[str], old: ReferenceStore, new: ReferenceStore
) -> Iterator[Change]:
    """Yield the references that differ for one observation."""
    observation = Observation(meta)
    for name in types:
        (was, before), (will, after) = (_best(store, name, observation) for store in (old, new))
        if was != will:
            yield Change(subject, name, before, after)


def changes_of_jobs(
    output: Path, definitions: Definitions, old: ReferenceStore, new: ReferenceStore
) -> Iterator[Change]:
    """Yield, for the last record of every job, the references that would differ.

    The inputs are observed again, so their files must still be where they were.
    """
    with peek_index(output) as index:
        rows = index.latest().values()
    for row in rows:
        subject = f"{row.pipeline} {row.job}"
        try:
            record = load_record(output / row.path)
            types = [
                name.removeprefix("reference ")
                for name in record.fingerprint
                if name.startswith("reference ")
            ]
            found: dict[Change, None] = {}
            for file in record.inputs:
                meta = meta_of(definitions, Path(file.path), file.definition)
                found |= dict.fromkeys(changes_of_file(subject, meta, types, old, new))
            yield from found
        except CsstError as error:
            yield Change(subject, "", "", str(error))


def _best(store: ReferenceStore, name: str, observation: Observation) -> tuple[str, str]:
    """Return what identifies the best reference, and what to call it."""
    try:
        choice = store.choose(name, observation)
    except NoReferenceError:
        return NONE, NONE
    except ReferenceFileError as error:
        return str(error), f"error: {error}"
    return choice.sha256, choice.name
