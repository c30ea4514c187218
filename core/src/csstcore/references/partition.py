"""`Partition`: one reference type in many files, each for some cells of the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from csstcore.errors import ConfigurationError
from csstcore.products.meta import Meta, plain_value

if TYPE_CHECKING:
    from astropy_healpix import HEALPix


def _power_of_two(nside: int) -> int:
    if nside & (nside - 1):
        raise ValueError(f"found {nside}; nside is a power of two")
    return nside


class Partition(BaseModel):
    """HEALPix cells (Gorski et al. 2005), and how far an observation reaches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["healpix"]
    nside: Annotated[int, Field(ge=1, le=2**29), AfterValidator(_power_of_two)]
    order: Literal["nested", "ring"] = "nested"
    radius_degree: Annotated[float, Field(gt=0, le=90)]
    """Every cell that may lie this near to the pointing of an observation is touched."""

    def cells(self, meta: Meta) -> tuple[int, ...]:
        """Return the cells that an observation touches, ascending; none without a pointing.

        Raises
        ------
        ConfigurationError
            If astropy-healpix is not installed.
        """
        import astropy.units as u

        longitude, latitude = (
            plain_value(meta, name) for name in ("right_ascension", "declination")
        )
        if longitude is None or latitude is None:
            return ()
        found = self._healpix().cone_search_lonlat(
            longitude * u.deg, latitude * u.deg, self.radius_degree * u.deg
        )
        return tuple(sorted(int(cell) for cell in found))

    def _healpix(self) -> HEALPix:
        try:
            from astropy_healpix import HEALPix
        except ImportError as error:
            raise ConfigurationError(
                "references in HEALPix cells need astropy-healpix; pip install 'csstcore[healpix]'"
            ) from error
        return HEALPix(self.nside, self.order)
