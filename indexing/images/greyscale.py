"""Grey values of any range to the 8 bits that a screen shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stretch(grey: NDArray[Any], included: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Map the least value to 0 and the greatest to 255; an image of one value becomes black.

    Parameters
    ----------
    grey
        Any numbers [rows, columns]; those that are not finite become black.
    included
        The pixels among which least and greatest value are sought, bool [rows, columns]; None for all.

    Returns
    -------
    numpy.ndarray
        uint8 [rows, columns].
    """
    values = grey.astype(np.float64)
    finite = np.isfinite(values)
    seen = values[finite if included is None else finite & included]
    low, high = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
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
