"""Grey values of any range to the 8 bits that a screen shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTLIERS = 0.005
"""Share of the pixels at either end that do not decide how an image is stretched: a bright marker, dead pixels."""


def stretch(grey: NDArray[Any], included: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Map the 0.5th percentile and what is below to 0, the 99.5th and what is above to 255.

    Not the least and the greatest value: one bright pixel would darken all others. Percentiles are values of the image,
    the lower one rounded down and the upper one up, so that of fewer than 200 pixels none is an outlier. Where both are
    the same, because nearly all pixels are, least and greatest value are taken after all. An image of one value becomes
    black.

    Parameters
    ----------
    grey
        Any numbers [rows, columns]; those that are not finite become black.
    included
        The pixels that decide, bool [rows, columns]; None for all.

    Returns
    -------
    numpy.ndarray
        uint8 [rows, columns].
    """
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    seen = values[finite if included is None else finite & included]
    if not seen.size:
        return np.zeros(grey.shape, np.uint8)
    low = np.quantile(seen, OUTLIERS, method="lower")
    high = np.quantile(seen, 1 - OUTLIERS, method="higher")
    if not high > low:
        low, high = seen.min(), seen.max()
    if not high > low:
        return np.zeros(grey.shape, np.uint8)
    scaled = (np.where(finite, values, low).clip(low, high) - low) * (255.0 / (high - low))
    return scaled.round().astype(np.uint8)


def apply_window(grey: NDArray[Any], centre: float, width: float, function: str = "LINEAR") -> NDArray[np.uint8]:
    """Map the values inside a window to 0–255, those below it to 0 and those above it to 255.

    Parameters
    ----------
    grey
        Any numbers [rows, columns], in the unit of the window; those that are not finite become black.
    centre, width
        The window.
    function
        LINEAR (width at least 1), LINEAR_EXACT or SIGMOID (width above 0): DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3.

    Returns
    -------
    numpy.ndarray
        uint8 [rows, columns].

    Raises
    ------
    ValueError
        If the function is another, or the width is too small for it.
    """
    if not width >= 1 and not (width > 0 and function != "LINEAR"):
        raise ValueError(f"width {width} is too small for {function}")
    values = np.nan_to_num(grey.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    if function == "LINEAR" and width == 1:
        share = (values > centre - 0.5).astype(np.float64)
    elif function == "LINEAR":
        share = (values - (centre - 0.5)) / (width - 1) + 0.5
    elif function == "LINEAR_EXACT":
        share = (values - centre) / width + 0.5
    elif function == "SIGMOID":
        share = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700)))
    else:
        raise ValueError(f"window function {function} is not known")
    result: NDArray[np.uint8] = (share.clip(0, 1) * 255).round().astype(np.uint8)
    return result
