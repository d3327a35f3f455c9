"""How much is switched, and into which languages: a ratio, a range or a schedule; weights or a temperature."""

import difflib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from lingualift_ds.data.lexicon import Lexicon
from lingualift_ds.errors import ConfigError

DRAWS = 1 << 16
"""Numbers that something is drawn by are below this."""


@dataclass(frozen=True)
class Ratio:
    """The share of the switchable words of a text that are switched.

    `rising`: from `low` at the first row of the data to `high` at the last; else every sample draws its own between
    the two. Raises ConfigError for shares outside [0, 1].
    """

    low: float
    high: float
    rising: bool = False

    def __post_init__(self):
        within = 0 <= self.low <= 1 and 0 <= self.high <= 1
        if not within or (self.low > self.high and not self.rising):
            raise ConfigError(f"ratio {self}: shares between 0 and 1 are allowed, a range low to high")

    @classmethod
    def parse(cls, text: str | float) -> "Ratio":
        """A ratio as written: `0.5`, a range `0.3-1.0`, a schedule `0.2..0.8`. Raises ConfigError."""
        written = str(text).strip()
        rising = ".." in written
        try:
            numbers = [float(part) for part in written.split(".." if rising else "-")]
        except ValueError:
            numbers = []
        if len(numbers) not in ((2,) if rising else (1, 2)):
            raise ConfigError(
                f"ratio {written!r}: a share such as 0.5, a range such as 0.3-1.0 or a schedule such as 0.2..0.8 "
                "is needed"
            )
        return cls(numbers[0], numbers[-1], rising)

    def __str__(self) -> str:
        if self.rising:
            return f"{self.low:g}..{self.high:g}"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"

    def counts(self, switchable: np.ndarray, progress: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How many of the switchable words of each text are switched, by two numbers below DRAWS; all are [texts]."""
        share = progress if self.rising else first / DRAWS
        wanted = (self.low + (self.high - self.low) * share) * switchable
        whole = np.floor(wanted)
        # The part of a word is a chance, so that the share is right on average in short sentences too.
        return np.minimum(whole + (second / DRAWS < wanted - whole), switchable).astype(np.int64)


@dataclass(frozen=True)
class Languages:
    """The languages that samples are switched to.

    Attributes:
        codes: of the languages, in alphabetical order.
        weights: how often each is drawn, relative to the others.
        mix: languages of one sample.
    """

    codes: tuple[str, ...]
    weights: tuple[float, ...]
    mix: int = 1

    @classmethod
    def alike(cls, codes: Sequence[str] | Mapping[str, object], mix: int = 1) -> "Languages":
        """All drawn equally often."""
        return cls(tuple(sorted(codes)), (1.0,) * len(codes), min(mix, len(codes)))

    @classmethod
    def choose(
        cls, named: Sequence[str], lexicons: Mapping[str, Lexicon], temperature: float | None = None, mix: int = 1
    ) -> "Languages":
        """The languages `named` as `sw` or `sw:2` (all of the lexicons where none are), weighted as written, or by the
        entries of their lexicon to the power of 1/temperature. Raises ConfigError."""
        weights = dict(map(parse_language, named)) if named else dict.fromkeys(lexicons)
        for code in weights:
            if code not in lexicons:
                near = difflib.get_close_matches(code, lexicons, 1) or sorted(lexicons)
                raise ConfigError(f"language {code!r}: no lexicon of it; there are {', '.join(near)}")
        stated = [code for code, weight in weights.items() if weight is not None]
        if temperature is not None:
            if not temperature > 0:
                raise ConfigError(f"temperature {temperature}: a number above 0 is needed")
            if stated:
                raise ConfigError(f"language {stated[0]}: has a weight of its own, but temperature sets them")
            most = max(len(lexicons[code]) for code in weights)
            # Relative to the largest: a power of thousands may be too large for a number.
            weights = {code: (len(lexicons[code]) / most) ** (1 / temperature) for code in weights}
        if mix < 1:
            raise ConfigError(f"mix {mix}: at least one language in a sentence is needed")
        codes = tuple(sorted(weights))
        return cls(codes, tuple(1.0 if weights[c] is None else weights[c] for c in codes), min(mix, len(codes)))

    @cached_property
    def _bounds(self) -> list[float]:
        """A number below DRAWS draws the first language whose bound is above it."""
        total = sum(self.weights)
        return [DRAWS * part / total for part in accumulate(self.weights[:-1])]

    def draw_all(self, numbers: np.ndarray) -> np.ndarray:
        """`mix` different languages for each text, as places in `codes`, by as many numbers below DRAWS;
        both are [texts, mix]."""
        if len(self.codes) == self.mix:
            return np.tile(np.arange(self.mix), (len(numbers), 1))
        if self.mix == 1:
            return np.searchsorted(self._bounds, numbers, side="right")
        return np.array([self._draw_several(row) for row in numbers.tolist()])

    def _draw_several(self, numbers: Sequence[int]) -> list[int]:
        left, weights, drawn = list(range(len(self.codes))), list(self.weights), []
        for number in numbers:
            bounds = list(accumulate(weights))
            at = min(bisect_right(bounds, bounds[-1] * number / DRAWS), len(left) - 1)
            drawn.append(left.pop(at))
            weights.pop(at)
        return sorted(drawn)


def parse_language(text: str) -> tuple[str, float | None]:
    """A code and its weight, written `sw:2`; None where no weight is stated. Raises ConfigError."""
    code, separator, written = text.strip().partition(":")
    if not separator:
        return code, None
    try:
        weight = float(written)
    except ValueError:
        weight = math.nan
    if not (code and 0 < weight < math.inf):
        raise ConfigError(f"language {text!r}: a code such as sw, or one with a weight such as sw:2 is needed")
    return code, weight
