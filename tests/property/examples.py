"""How the examples of the property tests are chosen: the same in every run."""

import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

randoms = st.integers(min_value=0, max_value=2**32 - 1).map(random.Random)


def few(max_examples: int) -> settings:
    """For examples that each assemble a whole capture."""
    return settings(
        derandomize=True,
        deadline=None,
        max_examples=max_examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
