"""Seeds of random numbers."""

from titrate.errors import InputError

LARGEST_SEED = 2**32 - 1
"""What every generator takes: numpy's old one and the checksums that seeds are mixed with have 32 bits."""


def check_seed(seed: int) -> None:
    """Refuse what is no seed.

    Raises
    ------
    InputError
        If it is not a whole number from 0 to 2³² - 1.
    """
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed is {seed}; give a whole number from 0 to {LARGEST_SEED:,}")
