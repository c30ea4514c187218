"""What stages, checks, figures and readers import."""

from dataclasses import replace

from csstcore.compiled import compiled
from csstcore.errors import FileError, NotApplicable, UnprocessableData
from csstcore.markers import InPlace, Reference
from csstcore.notes import caveat, metric
from csstcore.products import (
    DEFAULT_FLAG_BITS,
    Cube,
    Image,
    Mask,
    Meta,
    Onnx,
    Psf,
    Spectra,
    Table,
    TimeTable,
    Wcs,
    common_meta,
    note_frames,
)
from csstcore.threads import allowed_threads, each, pieces

__all__ = [
    "DEFAULT_FLAG_BITS",
    "Cube",
    "FileError",
    "Image",
    "InPlace",
    "Mask",
    "Meta",
    "NotApplicable",
    "Onnx",
    "Psf",
    "Reference",
    "Spectra",
    "Table",
    "TimeTable",
    "UnprocessableData",
    "Wcs",
    "allowed_threads",
    "caveat",
    "common_meta",
    "compiled",
    "each",
    "metric",
    "note_frames",
    "pieces",
    "replace",
]
