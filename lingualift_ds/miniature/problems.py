"""Word problems and sentences: a scenario drawn once can be rendered in every language.

In four of eleven problems the number of the answer depends on what a noun means (how many legs three
spiders have, how many wheels three cars): a model that does not understand the noun is right by chance
only. (Price lists of three goods, one of them bought, were tried for the same end: an LLM of this size
does not learn in its two minutes to look a number up by its noun, not even in English.)

Held out is one in five of the pairs (schema, operands): no held-out problem shares its schema and its
operands with any text that a stand-in or a stage is trained on, whatever its names, objects or wording.
(Bare facts such as `3 + 5 = 8`, of which the LLM learns all, have no schema.)
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lingualift_ds.data.records import MATH_INSTRUCTION
from lingualift_ds.miniature.world import LANGUAGES, LEGS, NOUNS, OBJECTS, PERSONS, WHEELS, plural

Slots = dict[str, str | int]


@dataclass(frozen=True)
class Scenario:
    """A problem before any language: what happens, and the calculation that answers it."""

    schema: str
    sentences: tuple[tuple[str, Slots], ...]  # (frame, slots), in order
    noun: str  # singular English noun the question is about
    left: int
    sign: str
    right: int

    @property
    def answer(self) -> int:
        """The number asked for."""
        return {"+": self.left + self.right, "-": self.left - self.right, "x": self.left * self.right}[self.sign]

    @property
    def solution(self) -> str:
        """The worked answer in English, which names the object first: `apples: 11 + 5 = 16. The answer is 16`."""
        sum_ = f"{self.left} {self.sign} {self.right} = {self.answer}"
        return f"{plural(self.noun)}: {sum_}. The answer is {self.answer}"

    @property
    def held_out(self) -> bool:
        """Whether its schema and operands belong to the held-out fifth (the same for every seed)."""
        # The letter was chosen so that every number of legs and wheels occurs on both sides.
        key = f"a {self.schema} {self.left} {self.right}".encode()
        return hashlib.sha256(key).digest()[0] % 5 == 0


@dataclass(frozen=True)
class Problem:
    """A scenario in one language. `solution` and `object` (a plural noun) are English in all of them."""

    id: str
    language: str
    text: str
    solution: str
    answer: str
    object: str
    schema: str


def _two(rng: random.Random) -> tuple[str, str]:
    first, second = rng.sample(PERSONS, 2)
    return first, second


def _decrease(rng: random.Random) -> tuple[int, int]:
    start = rng.randint(5, 24)
    return start, rng.randint(2, min(start - 2, 15))


def _increase(rng: random.Random) -> tuple[int, int]:
    return rng.randint(2, 15), rng.randint(2, 15)


def _factors(rng: random.Random) -> tuple[int, int]:
    return rng.randint(2, 9), rng.randint(2, 9)


def _gain(rng: random.Random) -> Scenario:
    (n, m), x, a = _increase(rng), rng.choice(NOUNS), rng.choice(PERSONS)
    story = (
        ("has", {"a": a, "n": n, "x": x}),
        (rng.choice(("finds", "buys")), {"a": a, "m": m, "x": x}),
        ("ask_now", {"a": a, "x": x}),
    )
    return Scenario("gain", story, x, n, "+", m)


def _loss(rng: random.Random) -> Scenario:
    (n, m), x, a = _decrease(rng), rng.choice(NOUNS), rng.choice(PERSONS)
    story = (
        ("has", {"a": a, "n": n, "x": x}),
        (rng.choice(("loses", "sells")), {"a": a, "m": m, "x": x}),
        ("ask_left", {"a": a, "x": x}),
    )
    return Scenario("loss", story, x, n, "-", m)


def _give(rng: random.Random) -> Scenario:
    (n, m), x, (a, b) = _decrease(rng), rng.choice(NOUNS), _two(rng)
    story = (
        ("has", {"a": a, "n": n, "x": x}),
        ("gives", {"a": a, "b": b, "m": m, "x": x}),
        ("ask_left", {"a": a, "x": x}),
    )
    return Scenario("give", story, x, n, "-", m)


def _total(rng: random.Random) -> Scenario:
    (n, m), x, (a, b) = _increase(rng), rng.choice(NOUNS), _two(rng)
    story = (
        ("has", {"a": a, "n": n, "x": x}),
        ("has", {"a": b, "n": m, "x": x}),
        ("ask_together", {"a": a, "b": b, "x": x}),
    )
    return Scenario("total", story, x, n, "+", m)


def _difference(rng: random.Random) -> Scenario:
    (n, m), x, (a, b) = _decrease(rng), rng.choice(NOUNS), _two(rng)
    story = (
        ("has", {"a": a, "n": n, "x": x}),
        ("has", {"a": b, "n": m, "x": x}),
        ("ask_more", {"a": a, "b": b, "x": x}),
    )
    return Scenario("difference", story, x, n, "-", m)


def _boxes(rng: random.Random) -> Scenario:
    (n, m), x = _factors(rng), rng.choice(OBJECTS)
    story = (("boxes", {"n": n, "m": m, "x": x}), ("ask_boxes", {"x": x}))
    return Scenario("boxes", story, x, n, "x", m)


def _daily(rng: random.Random) -> Scenario:
    (n, m), x, a = _factors(rng), rng.choice(OBJECTS), rng.choice(PERSONS)
    story = (("daily", {"a": a, "n": n, "x": x}), ("ask_days", {"a": a, "m": m, "x": x}))
    return Scenario("daily", story, x, n, "x", m)


def _legs(rng: random.Random) -> Scenario:
    n, x, a = rng.randint(2, 9), rng.choice(tuple(LEGS)), rng.choice(PERSONS)
    story = (("sees", {"a": a, "n": n, "x": x}), ("ask_legs", {"x": x}))
    return Scenario("legs", story, x, n, "x", LEGS[x])


def _wheels(rng: random.Random) -> Scenario:
    n, x, a = rng.randint(2, 9), rng.choice(tuple(WHEELS)), rng.choice(PERSONS)
    story = (("sees", {"a": a, "n": n, "x": x}), ("ask_wheels", {"x": x}))
    return Scenario("wheels", story, x, n, "x", WHEELS[x])


# Twice: the schemas whose number depends on a noun.
_DRAWS: tuple[Callable[[random.Random], Scenario], ...] = (
    _gain, _loss, _give, _total, _difference, _boxes, _daily,
    _legs, _legs, _wheels, _wheels,
)  # fmt: skip


def scenario(rng: random.Random, held_out: bool) -> Scenario:
    """A scenario of the held-out fifth, or of the rest."""
    draw = rng.choice(_DRAWS)
    while (drawn := draw(rng)).held_out != held_out:
        pass
    return drawn


def render(story: Scenario, language: str, rng: random.Random) -> str:
    """The problem's text in that language; `rng` picks among paraphrases."""
    speaker = LANGUAGES[language]
    return " ".join(speaker.sentence(frame, slots, rng) for frame, slots in story.sentences)


def problem(seed: int, index: int, language: str, held_out: bool = False) -> Problem:
    """Problem number `index`: the same seed, index and half give the same scenario in every language."""
    half = "held-out" if held_out else "train"
    drawn = scenario(random.Random(f"scenario {seed} {half} {index}"), held_out)
    text = render(drawn, language, random.Random(f"wording {seed} {half} {index} {language}"))
    name = f"{language}-{half}-{seed}-{index}"
    return Problem(name, language, text, drawn.solution, str(drawn.answer), plural(drawn.noun), drawn.schema)


def text(rng: random.Random, language: str, single: float) -> str:
    """A text of the training half: one sentence out of a problem with probability `single`, else a whole problem."""
    return render(_excerpt(rng, single), language, rng)


def _excerpt(rng: random.Random, single: float) -> Scenario:
    """A scenario of the training half, cut down to one of its sentences with probability `single`."""
    drawn = scenario(rng, held_out=False)
    return replace(drawn, sentences=(rng.choice(drawn.sentences),)) if rng.random() < single else drawn


def texts(language: str, seed: int, label: str, single: float) -> Iterator[str]:
    """An endless stream of `text`; streams of other languages or labels are drawn independently (no pairs)."""
    rng = random.Random(f"{label} {seed} {language}")
    while True:
        yield text(rng, language, single)


def stage1_sentences(count: int, seed: int, single: float = 0.8) -> list[dict[str, str]]:
    """English texts for Stage I, to be code-switched: {id, text}."""
    stream = texts("en", seed, "stage 1", single)
    return [{"id": f"sentence-{seed}-{i}", "text": next(stream)} for i in range(count)]


def bitext_records(count: int, seed: int, single: float = 0.8) -> list[dict[str, str]]:
    """Parallel text, for methods that learn from translations: {id, text, target, language}. The text is in the
    languages but English in turn, the target says the same in English."""
    rng, foreign = random.Random(f"bitext {seed}"), [code for code in LANGUAGES if code != "en"]
    records = []
    for i in range(count):
        story, language = _excerpt(rng, single), foreign[i % len(foreign)]
        pair = {"text": render(story, language, rng), "target": render(story, "en", rng)}
        records.append({"id": f"bitext-{seed}-{i}", **pair, "language": language})
    return records


def stage2_records(count: int, seed: int) -> list[dict[str, str]]:
    """English problems with their solutions, for Stage II: {id, text, instruction, target, language}."""
    return [_record(problem(seed, i, "en")) for i in range(count)]


def multilingual_records(count: int, seed: int) -> list[dict[str, str]]:
    """The problems of `stage2_records`, each in one of all languages in turn, the solution in English."""
    codes = list(LANGUAGES)
    return [_record(problem(seed, i, codes[i % len(codes)])) for i in range(count)]


def held_out_records(language: str, count: int, seed: int) -> list[dict[str, str]]:
    """Held-out problems of one language, with `answer`, `object` and `schema`; the same problems in every one."""
    return [_record(p) | {"answer": p.answer, "object": p.object, "schema": p.schema}
            for p in (problem(seed, i, language, held_out=True) for i in range(count))]  # fmt: skip


def _record(item: Problem) -> dict[str, str]:
    return {
        "id": item.id,
        "text": item.text,
        "instruction": MATH_INSTRUCTION,
        "target": item.solution,
        "language": item.language,
    }
