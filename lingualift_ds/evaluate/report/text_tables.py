"""Tables as text: aligned for the terminal, piped for Markdown; nothing in a cell acts on either."""

from collections.abc import Callable

from lingualift_ds.data.codeswitch.marked import visible

_TONES = {"worse": "\x1b[33m", "better": "\x1b[1;36m", "faint": "\x1b[2m", "strong": "\x1b[1m"}
"""Yellow and bold cyan: told apart by all eyes, on dark and on light ground."""
_END = "\x1b[0m"
WIDTH = 110
"""Of lines of text in a terminal; tables are as wide as they are."""

HARD = "\u00a0"
"""A space at which no line ends."""

Cell = tuple[str, str]
"""A text and its tone."""


def painter(colour: bool) -> Callable[[str, str], str]:
    """What gives a text its tone, where `colour` is wanted, and makes it harmless."""

    def paint(text: str, tone: str) -> str:
        harmless = visible(text).replace("\n", " ")
        return f"{_TONES[tone]}{harmless}{_END}" if colour and tone else harmless

    return paint


def aligned(rows: list[list[Cell]], paint: Callable[[str, str], str]) -> list[str]:
    """Lines of a table, the first row of which is its head."""
    rows = [[(visible(text).replace("\n", " "), tone) for text, tone in row] for row in rows]
    widths = [max(len(row[i][0]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            paint(f"{text:<{width}}", tone or ("faint" * (not number))) for (text, tone), width in zip(row, widths)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def piped(rows: list[list[Cell]]) -> list[str]:
    """Lines of a table in Markdown, the first row of which is its head."""
    lines = []
    for number, row in enumerate(rows):
        strong = "**" if any(tone == "strong" for _, tone in row[:1]) else ""
        cells = [plain(" ".join(text.split())) for text, _ in row]
        lines.append("| " + " | ".join(f"{strong}{cell}{strong}" if cell else "" for cell in cells) + " |")
        if not number:
            lines.append("| " + " | ".join("---" if i < 2 else "---:" for i in range(len(row))) + " |")
    return lines


def plain(text: str) -> str:
    """Text that Markdown takes as it is."""
    text = visible(text).replace("\n", " ").replace(HARD, " ").replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_|[]" else c for c in text)
