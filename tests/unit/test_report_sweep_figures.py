"""The figures of a sweep: nothing overlaps or is cut off, bars start at 0, what is marked is what was trained on."""

import itertools

import pytest
from results_folders import LEVEL_OF
from sweep_folders import make_sweep

from lingualift_ds.evaluate.report.sweep.bars import draw_bars
from lingualift_ds.evaluate.report.sweep.comparison import compare_sweep
from lingualift_ds.evaluate.report.sweep.curve import _places, draw_curve
from lingualift_ds.evaluate.report.sweep.matrix import _FRAME, draw_matrix, stage1_languages
from lingualift_ds.evaluate.report.sweep.reading import Arm, read_sweep

matplotlib = pytest.importorskip("matplotlib")
FigureCanvasAgg = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg

LANGUAGES = ["sw", "bn", "te", "yo", "th", "hi", "en", "de"]
LONG = "LinguaLIFT with a name that goes on and on, number {} of $10$ in_all"
GRIDS = {
    "ratio": {"name": "switch ratio", "key": "data.ratio", "values": []},
    "transfer": {"name": "languages", "key": "data.languages", "values": []},
}


def drawn(sweep, kind, draw):
    """The figure of this kind."""
    figure = next(one for one in sweep.figures if one.kind == kind)
    (comparison,) = compare_sweep(sweep)
    return draw(sweep, figure, comparison)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Ten arms of long names, one of them always right and one never; 11 ratios; four sets of languages."""
    shares = [0.0, 1.0, *(0.1 * number for number in range(1, 9))]
    arms = {f"a{number}": dict.fromkeys(LANGUAGES, share) for number, share in enumerate(shares)}
    arms |= {f"ratio={number / 10:g}": dict.fromkeys(LANGUAGES, 0.05 * number) for number in range(11)}
    rows = {"sw": ["sw"], "te,bn": "te,bn", "all": ["sw", "bn", "te", "yo"], "some": "some"}
    arms |= {f"transfer={value}": dict.fromkeys(LANGUAGES, 0.5) for value in rows}
    figures = {
        "ablation": {"kind": "bars", "title": "A title " * 20, "arms": [f"a{number}" for number in range(10)]},
        "ratio": {"kind": "curve", "grid": "ratio", "title": "Ratio"},
        "transfer": {"kind": "matrix", "grid": "transfer", "title": "Transfer"},
    }
    folder = make_sweep(
        tmp_path_factory.mktemp("sweep"), arms, n=20, spread=0.0, baseline="a0", grids=GRIDS, figures=figures,
        names={f"a{number}": LONG.format(number) for number in range(10)},
        settings={f"transfer={value}": setting for value, setting in rows.items()},
    )  # fmt: skip
    return read_sweep(folder)


def boxes(figure) -> list[tuple[str, object]]:
    """Every text that is drawn, with where it stands in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


@pytest.mark.parametrize("kind, draw", [("bars", draw_bars), ("curve", draw_curve), ("matrix", draw_matrix)])
def test_no_text_is_cut_off_or_lies_on_another(sweep, kind, draw):
    figure = drawn(sweep, kind, draw)
    found = boxes(figure)
    assert len(found) > 20
    for text, box in found:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    slanted = {line.name for line in compare_sweep(sweep)[0].languages}  # their boxes are larger than they are
    upright = [(text, box) for text, box in found if text.split("  ")[0] not in slanted]
    for (text, box), (other, another) in itertools.combinations(upright, 2):
        assert not (box.x0 < another.x1 and another.x0 < box.x1 and box.y0 < another.y1 and another.y0 < box.y1), (
            text,
            other,
        )


def test_bars_start_at_0_and_show_mean_and_seeds(sweep):
    figure = drawn(sweep, "bars", draw_bars)
    assert [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes] == ["LR.", "MR.", "HR.", "Avg."]
    for axes in figure.axes:
        assert [bar.get_x() for bar in axes.patches] == [0] * 10 and axes.get_xlim()[0] == 0
        assert [round(bar.get_width()) for bar in axes.patches] == [0, 100, 10, 20, 30, 40, 50, 60, 70, 80]
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert [len(line.get_xdata()) for line in dots] == [2] * 10
    baseline, *others = figure.axes[0].patches
    assert baseline.get_facecolor() != others[0].get_facecolor()


def test_a_curve_has_a_line_a_level_from_0_to_100_percent(sweep):
    figure = drawn(sweep, "curve", draw_curve)
    (axes,) = figure.axes
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [line.get_label().split("\n")[0] for line in lines] == ["LR.", "MR.", "HR.", "Avg."]
    assert list(lines[0].get_ydata()) == pytest.approx([5 * number for number in range(11)])
    assert len({line.get_marker() for line in lines}) == len({line.get_linestyle() for line in lines}) == 4
    assert axes.get_xlabel() == "switch ratio"


def test_values_stand_to_scale_unless_they_crowd():
    assert _places(["0", "0.25", "1"]) == ([0, 0.25, 1], True)
    assert _places(["1000", "1", "10"]) == ([1, 0, 0.5], False)
    assert _places(["linear", "ffn", "latent"]) == ([0, 0.5, 1], True)
    assert _places(["3"]) == ([0.5], True)


def test_the_matrix_prints_every_value_and_frames_what_was_trained_on(sweep):
    figure = drawn(sweep, "matrix", draw_matrix)
    (axes,) = figure.axes
    values = [text.get_text() for text in axes.texts]
    assert values.count("50.0") == 4 * len(LANGUAGES) and values.count("0.0") == len(LANGUAGES)  # and the baseline
    rows, columns = (
        [label.get_text() for label in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels())
    )
    assert rows[:4] == ["sw", "te,bn", "all", "some"] and rows[4].startswith("LinguaLIFT with a name")
    edge = matplotlib.colors.to_rgba(_FRAME)
    framed = set()
    for patch in axes.patches:
        if patch.get_edgecolor() == edge:
            x, y = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2
            column = min(range(len(columns)), key=lambda i: abs(axes.get_xticks()[i] - x))
            row = min(range(len(rows)), key=lambda i: abs(axes.get_yticks()[i] - y))
            framed.add((rows[row], columns[column].split()[-1]))
    assert framed == {
        ("sw", "sw"),
        ("te,bn", "te"),
        ("te,bn", "bn"),
        *(("all", code) for code in ("sw", "bn", "te", "yo")),
    }
    assert "not known for: some" in " ".join(figure.get_supxlabel().split())


def test_stage1_languages_come_from_the_setting_or_a_value_that_lists_codes():
    def arm(value, setting=None):
        return Arm("k", "l", value, "g", value, setting, {})

    assert stage1_languages(arm("all", ["sw", "te"])) == {"sw", "te"}
    assert stage1_languages(arm("[sw, te]")) == stage1_languages(arm("te+sw")) == {"sw", "te"}
    assert stage1_languages(arm("none")) == stage1_languages(arm("few", [])) == frozenset()
    assert stage1_languages(arm("all")) is None


def test_a_matrix_of_48_languages_keeps_its_cells_apart(tmp_path):
    arms = {f"transfer={code}": dict.fromkeys(LEVEL_OF, 0.999) for code in ("sw", "te")}
    figures = {"t": {"kind": "matrix", "grid": "transfer", "title": "T"}}
    sweep = read_sweep(make_sweep(tmp_path, arms, seeds=[0], n=20, grids=GRIDS, figures=figures))
    figure = drawn(sweep, "matrix", draw_matrix)
    cells = [box for text, box in boxes(figure) if text in ("100.0", "84–100")]
    assert len(cells) == 2 * 2 * 48
    ordered = sorted((box for text, box in boxes(figure) if text == "100.0"), key=lambda box: (round(box.y0), box.x0))
    assert all(b.x0 - a.x1 > 4 for a, b in itertools.pairwise(ordered) if round(a.y0) == round(b.y0))
