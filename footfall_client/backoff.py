"""How long to wait before trying again: exponential with full jitter.

After "Exponential Backoff And Jitter" (M. Brooker, AWS, 2015): a delay drawn from U(0, min(cap, base · 2ⁿ)) spreads a
thousand clients that lost the same server best.
"""

import random
from collections.abc import Callable

_system_random = random.SystemRandom()
_UNBOUNDED = 32  # 2³² · base is beyond any cap; larger exponents would only make large numbers


class FullJitter:
    """The delays of one thing that is tried again, for ever."""

    def __init__(
        self, base: float = 1.0, cap: float = 30.0, uniform: Callable[[], float] = _system_random.random
    ) -> None:
        """`base`, `cap`: seconds. `uniform`: draws from [0, 1). Raises ValueError unless 0 < base ≤ cap."""
        if not 0 < base <= cap:
            raise ValueError("expected 0 < base <= cap")
        self._base, self._cap, self._uniform = base, cap, uniform
        self._failures = 0

    @property
    def failures(self) -> int:
        """In a row."""
        return self._failures

    def next(self, *, at_least: float = 0.0) -> float:
        """Counts a failure, and answers the seconds to wait after it; never less than `at_least` (a server's word)."""
        ceiling = min(self._cap, self._base * 2.0 ** min(self._failures, _UNBOUNDED))
        self._failures += 1
        return at_least + self._uniform() * ceiling

    def reset(self) -> None:
        """It worked: the next failure is the first."""
        self._failures = 0
