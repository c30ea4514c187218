"""Choosing, keeping and loading calibration references."""

from csstcore.references.choose import Choice, NoReferenceError
from csstcore.references.kinds import load_reference
from csstcore.references.store import ReferenceStore

__all__ = ["Choice", "NoReferenceError", "ReferenceStore", "load_reference"]
