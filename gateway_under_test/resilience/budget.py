"""The retry budget: retries are paid for with successes, so an outage cannot multiply the load.

A token bucket that starts full. A success adds `ratio`, a retry takes 1, so retries are at most `burst` plus `ratio`
for each success. Tokens come from successes and not from starts: in a full outage it runs dry (as in gRPC A6).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Budget:
    """`ratio` retries for each success, at most `burst` saved up."""

    ratio: float
    burst: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    @property
    def left(self) -> float | None:
        """What is saved up, in retries; None: without end."""
        return self.tokens

    def earn(self) -> None:
        """An attempt succeeded."""
        self.tokens = min(self.burst, self.tokens + self.ratio)

    def spend(self) -> bool:
        """Pay for one retry; False if there is not enough."""
        if self.tokens < 1 - 1e-9:  # ten tenths are one retry, whatever binary fractions make of them
            return False
        self.tokens = max(0.0, self.tokens - 1)
        return True


class Unlimited:
    """No budget: every retry is paid for."""

    @property
    def left(self) -> float | None:
        return None

    def earn(self) -> None:
        """Nothing to count."""

    def spend(self) -> bool:
        """Always."""
        return True
