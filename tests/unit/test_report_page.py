"""The report's page: it opens alone, nothing in the outputs breaks it, and it can be read without colour or sight."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from results_folders import LEVEL_OF, make_results

from lingualift_ds.evaluate.report.comparison import compare
from lingualift_ds.evaluate.report.drawing import SHARE_AXIS, delta_axis, dots
from lingualift_ds.evaluate.report.examples import choose
from lingualift_ds.evaluate.report.fertility import place_labels
from lingualift_ds.evaluate.report.page import to_html
from lingualift_ds.evaluate.report.results import read_results
from lingualift_ds.evaluate.report.statistics import Interval

HOSTILE = "</td></div><script>alert(1)</script><img src=x onerror=alert(2)> & \" ' \x00\x1b[31m \u202e ]]> <!-- "
LANGUAGES = {"sw": 0.3, "th": 0.4, "ar": 0.5, "en": 0.9, "qqx": 0.5}


@pytest.fixture
def page(tmp_path):
    """The page of results folders, of names with their shares of right answers by language."""

    def build(n=20, outputs=(), **shares):
        folders = [
            make_results(tmp_path / name, name, right, n, seed, outputs=outputs, encoder=bool(seed))
            for seed, (name, right) in enumerate(shares.items())
        ]
        results = [read_results(folder) for folder in folders]
        return to_html(results, compare(results))

    return build


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


class Tags(HTMLParser):
    """Start tags as a browser reads them."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_page_needs_no_other_file_and_runs_nothing(page):
    root = ElementTree.fromstring(page(base=LANGUAGES, ours=LANGUAGES))
    for element in root.iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object")
        assert not {"src", "srcset", "onload", "onclick"} & set(element.attrib)
        assert element.get("href", "#").startswith("#")
    style = root.find("head/style").text
    assert "url(" not in style and "@import" not in style
    assert "prefers-color-scheme: dark" in style and "@media print" in style


def test_nothing_in_the_outputs_breaks_the_page(page):
    made = page(outputs=[HOSTILE, "x" * 5000], base=LANGUAGES, **{"<i>ours</i>": LANGUAGES})
    made.encode()
    root = ElementTree.fromstring(made)
    assert not [element for element in root.iter() if element.tag in ("script", "img", "i")]
    assert "\x00" not in made and "\x1b" not in made and "alert(1)" in text_of(root)
    assert "characters are left out here" in made and "x" * 1000 not in made
    assert "<i>ours</i>" in text_of(root.find("body/main/header"))


def test_every_text_stands_in_its_own_direction_and_language(page):
    root = ElementTree.fromstring(page(base=LANGUAGES))
    texts = [element for element in root.iter("span") if element.get("class") in ("asked", "output")]
    assert texts and all(element.get("dir") == "auto" for element in texts)
    assert {"ar", "th", "sw"} <= {element.get("lang") for element in texts}


def test_what_got_worse_stands_before_all_else(page):
    made = page(n=100, base=LANGUAGES, ours=LANGUAGES | {"sw": 0.8, "en": 0.5, "ar": 0.48})
    root = ElementTree.fromstring(made)
    worse, better = root.iter("aside")
    assert "Worse than base" in text_of(worse) and "Better than base" in text_of(better)
    assert text_of(worse).index("English en −40.0*") < text_of(worse).index("Arabic ar −2.0")
    assert "Swahili sw +50.0*" in text_of(better)
    assert made.index("<aside") < made.index("<table")
    assert "Nothing got worse than base" in page(base={"sw": 0.2}, ours={"sw": 0.8})
    assert "<aside" not in page(base=LANGUAGES)


def test_48_languages_of_4_models_have_rows_links_and_examples(page):
    shares = {code: 0.5 for code in LEVEL_OF}
    made = page(n=6, a=shares, b=shares, c=shares, d=shares)
    ElementTree.fromstring(made)
    tags = Tags(made).found
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = {attributes["href"][1:] for _, attributes in tags if "href" in attributes}
    assert len(ids) == len(set(ids)) and links <= set(ids)
    assert {f"mgsm-{code}" for code in LEVEL_OF} <= links
    assert len([tag for tag, _ in tags if tag == "article"]) >= 2 * len(LEVEL_OF)


def test_the_page_can_be_read_aloud_and_without_colour(page):
    root = ElementTree.fromstring(page(base=LANGUAGES, ours=LANGUAGES, third=LANGUAGES))
    for picture in root.iter("svg"):
        assert picture.get("aria-hidden") or (picture.get("role") == "img" and picture.get("aria-label"))
    for table in root.iter("table"):
        assert all(head.get("scope") for head in table.iter("th"))
    shapes = {use.get("href") for use in root.iter("use")}
    assert shapes == {"#marker-0", "#marker-1", "#marker-2"}
    verdicts = {element.text for element in root.iter("span") if element.get("class") == "verdict"}
    assert verdicts == {"✓ right", "✗ wrong"}


def test_languages_without_a_level_or_without_spaces_are_said(page):
    root = ElementTree.fromstring(page(base=LANGUAGES, ours=LANGUAGES))
    said = text_of(root)
    assert "Without a resource level: qqx; in Avg. alone." in said
    assert "No encoder: base." in said
    assert "Left out, their words not being counted: th." in said
    (scatter,) = [picture for picture in root.iter("svg") if picture.get("class") == "scatter"]
    assert {text.text for text in scatter.iter("text") if text.get("class") == "code"} == set(LANGUAGES) - {"th"}


def test_examples_show_right_and_wrong_of_each_and_are_the_same_each_time(tmp_path):
    folders = [make_results(tmp_path / n, n, {"sw": s}, 50, k) for k, (n, s) in enumerate((("a", 0.06), ("b", 0.94)))]
    languages = {one.name: one.tasks["mgsm"].languages["sw"] for one in map(read_results, folders)}
    chosen = choose(languages)
    assert chosen == choose(languages) and len(chosen) <= 8
    for language in languages.values():
        outcomes = [language.rows[i].correct for i in chosen]
        assert outcomes.count(True) >= 2 and outcomes.count(False) >= 2


def test_dots_stand_where_their_values_are():
    drawn = ElementTree.fromstring(
        dots([(0, 0.25, Interval(0.1, 0.5), "a"), (3, 1.0, Interval(1, 1), "b")], SHARE_AXIS)
    )
    assert [(use.get("href"), use.get("x")) for use in drawn.iter("use")] == [
        ("#marker-0", "25.00%"), ("#marker-3", "100.00%"),
    ]  # fmt: skip
    first = next(line for line in drawn.iter("line") if line.get("class") == "range")
    assert (first.get("x1"), first.get("x2")) == ("10.00%", "50.00%")


@pytest.mark.parametrize("reach, high", [(0.001, 0.1), (0.31, 0.4), (0.41, 0.5), (1.0, 1.0)])
def test_an_axis_of_differences_is_even_and_holds_all(reach, high):
    axis = delta_axis([Interval(-reach, 0.0)])
    assert (axis.low, axis.high) == (-high, high)
    assert axis.place(0.0) == "50.00%"


def test_labels_keep_off_each_other_and_inside():
    places = [(20.0 * column + 10, 20.0 * row + 10) for column in range(6) for row in range(3)]
    labels = place_labels(places, ["sw"] * len(places), 6, 2, (130, 70))
    boxes = [(x - 3.7, y - 3, x + 3.7, y + 3) for x, y in labels]
    for number, one in enumerate(boxes):
        assert one[0] >= 0 and one[1] >= 0 and one[2] <= 130 and one[3] <= 70
        for other in boxes[:number]:
            assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])


def test_numbers_of_the_page_are_those_of_the_rows(page):
    root = ElementTree.fromstring(page(n=100, base={"sw": 0.37}))
    rows = [[text_of(cell) for cell in row] for row in root.iter("tr")]
    assert any(row[:2] == ["Swahili sw", "100"] and row[-1] == "37.0 (28.2–46.8)" for row in rows)
