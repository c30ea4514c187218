"""Drawing the figures of a definition from a product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from csstcore.errors import NotApplicable
from csstcore.notes import caveat
from csstcore.plugin import Figure
from csstcore.plugins.importing import load

if TYPE_CHECKING:
    from csstcore.definitions.model import DefinitionModel
    from csstcore.plugins.registry import Registry

DOTS_PER_INCH: Final = 120


def draw_figures(
    definition: DefinitionModel, product: Any, registry: Registry, folder: Path
) -> list[Path]:
    """Draw the figures of a definition as PNG files.

    A figure that raises becomes a caveat (`csstcore.notes.caveat`), never an error; one that
    raises `NotApplicable` is left out.

    Parameters
    ----------
    definition
        Names the figures.
    product
        What the definition describes; the figures do not change it.
    registry
        The plugins that declare the figures.
    folder
        Where the files go, as ``<definition>-<figure>.png``; made if absent.

    Returns
    -------
    list
        The files drawn, in the order of the definition.
    """
    drawn = []
    for figure in definition.figure:
        path = folder / f"{definition.full_name}-{figure.use}.png"
        try:
            _draw(load(registry.get(Figure, figure.use).declaration.target), product, path)
            drawn.append(path)
        except NotApplicable:
            continue
        except (Exception, SystemExit) as error:  # a picture must not take the job with it
            caveat(f"figure {figure.use} of {definition.full_name}: {error or repr(error)}")
    return drawn


def _draw(function: Any, product: Any, path: Path) -> None:
    """Draw without a display, and leave no figure open whatever happens."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    before = set(plt.get_fignums())
    try:
        figure = function(product)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DOTS_PER_INCH, format="png")
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
