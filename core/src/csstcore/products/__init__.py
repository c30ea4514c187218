"""Products: in-memory objects that stages take and give."""

from csstcore.products.image import DEFAULT_FLAG_BITS, Image, Mask
from csstcore.products.meta import Meta
from csstcore.products.onnx import Onnx
from csstcore.products.psf import Psf
from csstcore.products.series import common_meta, note_frames
from csstcore.products.spectra import Cube, Spectra
from csstcore.products.table import Table, TimeTable
from csstcore.products.wcs import Wcs

__all__ = [
    "DEFAULT_FLAG_BITS",
    "Cube",
    "Image",
    "Mask",
    "Meta",
    "Onnx",
    "Psf",
    "Spectra",
    "Table",
    "TimeTable",
    "Wcs",
    "common_meta",
    "note_frames",
]
