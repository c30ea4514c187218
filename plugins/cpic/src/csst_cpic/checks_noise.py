"""Quality number of the noise of a series."""

from __future__ import annotations

import numpy as np

from csstcore.api import NotApplicable, Table


def noise_model_distance(noise: Table) -> float:
    """Largest distance of the cumulative distributions of even pixels and of their model.

    Parameters
    ----------
    noise
        Of `measure_noise`. 0 is perfect; a bias wrong by a tenth of the read noise gives 0.04.
    """
    pixels, model = (
        np.cumsum(np.asarray(noise.table[name], float)) for name in ("pixels", "model")
    )
    if not pixels.size or not pixels[-1] > 0 or not model[-1] > 0:
        raise NotApplicable("the histogram is empty")
    return float(np.max(np.abs(pixels / pixels[-1] - model / model[-1])))
