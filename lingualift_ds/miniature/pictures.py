"""The quickstart's two pictures: accuracy per language and arm, and the losses of both stages."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# Okabe and Ito's palette: told apart by colour-blind people; hatching tells the bars apart in grey.
COLOURS = {"lingualift": "#0072B2", "no_stage1": "#E69F00", "monoreason": "#999999"}
HATCHES = {"lingualift": "", "no_stage1": "//", "monoreason": ".."}
NAMES = {
    "lingualift": "LinguaLIFT",
    "no_stage1": "without Stage I (layer trained with the LLM)",
    "monoreason": "MonoReason (English text only, no encoder)",
}
LEVELS = ("low", "medium", "high")


def draw_accuracy(results: dict, path: Path) -> None:
    """Bars per language and arm, languages grouped by resource level, with standard errors."""
    from lingualift_ds.miniature.world import LANGUAGES

    levels = results["levels"]
    codes = sorted(levels, key=lambda code: LEVELS.index(levels[code]))
    figure, axes = pyplot.subplots(figsize=(11, 5.2), layout="constrained")
    width = 0.27
    for offset, arm in enumerate(COLOURS):
        values = [100 * results["arms"][arm][code] for code in codes]
        errors = [(v * (100 - v) / results["n"]) ** 0.5 for v in values]
        places = [i + (offset - 1) * width for i in range(len(codes))]
        bars = axes.bar(
            places, values, width, yerr=errors, label=NAMES[arm], color=COLOURS[arm], hatch=HATCHES[arm],
            edgecolor="white", error_kw={"ecolor": "#444444", "capsize": 2, "lw": 0.8},
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.set_xticks(range(len(codes)), [f"{LANGUAGES[c].name}\n{levels[c]} resource" for c in codes])
    for place in range(1, len(codes)):
        if levels[codes[place]] != levels[codes[place - 1]]:
            axes.axvline(place - 0.5, color="#bbbbbb", lw=1, ls=":")
    axes.set(ylabel="exact answers, %", ylim=(0, 108))
    axes.set_title(
        f"Held-out word problems, {results['n']} a language, trained on English only (seed {results['seed']}); "
        "bars: one standard error",
        fontsize=10,
    )
    _finish(figure, axes, path)


def draw_losses(runs: dict[str, Path], path: Path) -> None:
    """Training loss of Stage I and Stage II, and the held-out loss where it was measured."""
    figure, both = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for number, axes in enumerate(both, start=1):
        for arm, folder in runs.items():
            metrics = folder / f"stage{number}/metrics.jsonl"
            if not metrics.is_file():
                continue
            colour = COLOURS[arm]
            rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
            axes.plot([r["step"] for r in rows], [r["loss"] for r in rows], color=colour, lw=0.9, label=NAMES[arm])
            held = [(r["step"], r["heldout_loss"]["all"]) for r in rows if "heldout_loss" in r]
            if held and arm == "lingualift":
                label = "LinguaLIFT, held out, all languages"
                axes.plot(*zip(*held), color=colour, lw=1.2, ls="--", marker="o", ms=4, label=label)
        title = {1: "Stage I: alignment layer, code-switched text", 2: "Stage II: LLM, English problems"}[number]
        axes.set(title=title, xlabel="step", ylabel="loss, nats a target token", yscale="log")
        axes.legend(fontsize=8, frameon=False)
        axes.grid(axis="y", color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _finish(figure, axes, path: Path) -> None:
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.24), ncols=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
