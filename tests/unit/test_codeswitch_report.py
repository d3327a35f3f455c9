"""The report beside a code-switched file: what it counts, where it lies, and a page that nothing in the data breaks."""

import json
import subprocess
import sys
from argparse import ArgumentParser
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lingualift_ds.cli import codeswitch as command
from lingualift_ds.config.schema import CodeSwitchConfig
from lingualift_ds.data.codeswitch import CodeSwitcher, Languages, Ratio, Stage1Maker
from lingualift_ds.data.codeswitch.page import to_html
from lingualift_ds.data.codeswitch.page_parts import histogram
from lingualift_ds.data.codeswitch.report import FORMAT, Report, report_paths, to_json
from lingualift_ds.data.codeswitch.tally import Tally
from lingualift_ds.data.languages import LANGUAGES
from lingualift_ds.data.lexicon import Lexicon
from lingualift_ds.data.sources import Bad
from lingualift_ds.errors import ModelError

SWAHILI = Lexicon(
    "sw",
    {"money": ("pesa",), "the": ("ya",), "how much": ("kiasi gani",)},
    dropped={"identity": 2},
    sources=("en-sw.txt",),
    examples={"identity": ("of = of", "<b> = <b>")},
)
URDU = Lexicon("ur", {"money": ("پیسہ",), "the": ("وہ",)})
NOTHING = Lexicon("th", {"zebra": ("ม้าลาย",)})


def report(texts, *lexicons, tokenizer=None, mix=1, bad=(), **settings) -> dict:
    """The values of a report on these texts, (id, text) or text."""
    by_code = {lexicon.language: lexicon for lexicon in lexicons}
    maker = Stage1Maker(CodeSwitcher(by_code, Ratio(1, 1), languages=Languages.alike(by_code, mix)))
    block, tally = Tally(), Tally()
    for row in bad:
        block.add_bad(row)
    for number, row in enumerate(texts):
        row_id, text = row if isinstance(row, tuple) else (str(number), row)
        block.rows += 1
        for record, switched in maker.switch(row_id, text):
            block.add(record, switched, rate=1.0)
    tally.merge(block)
    source = SimpleNamespace(found=["in.jsonl: JSON lines, field 'text'"])
    return Report(maker, tokenizer).values(tally, source, CodeSwitchConfig(**settings), Path("some/stage1.jsonl"))


def parsed(page: str) -> ElementTree.Element:
    """The page as XML: stricter than any browser, so what passes is whole."""
    return ElementTree.fromstring(page)


def marks(page: ElementTree.Element, kind: str) -> list[str]:
    return ["".join(mark.itertext()) for mark in page.iter("mark") if mark.get("class") == kind]


@pytest.fixture
def tokenizer(tmp_path) -> str:
    """A word-level tokenizer that knows English, `pesa` and nothing else."""
    words = ["[UNK]", "the", "The", "money", "How", "much", "dog", "pesa", "?", ".", "7", "words"]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.enable_truncation(1)
    core.enable_padding(length=64)
    core.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


def test_counts_and_shares_of_a_language():
    values = report(["the money of the dog", "How much?", "dog", " "], SWAHILI)
    assert (values["format"], values["output"], values["records"]) == (FORMAT, "stage1.jsonl", 3)
    swahili = values["languages"]["sw"]
    assert swahili["name"] == "Swahili"
    assert (swahili["records"], swahili["words"], swahili["switchable"], swahili["switched"]) == (3, 8, 4, 4)
    assert (swahili["switchable_share"], swahili["switched_share"], swahili["untouched"]) == (0.5, 1.0, 1)
    bins = swahili["histogram"]
    filled = {edge: count for edge, count in zip(bins["up_to"], bins["records"]) if count}
    assert filled == {0.0: 1, 0.5: 1, 0.6: 1}  # of 1, 2 and 5 words: none, one (a phrase), three
    assert values["settings"]["languages"] == {"sw": 1.0}
    assert values["lexicons"]["sw"] == {
        "files": ["en-sw.txt"],
        "entries": 3,
        "pairs": 3,
        "frequencies": 0,
        "dropped": {"identity": {"count": 2, "examples": ["of = of", "<b> = <b>"]}},
        "mended": {},
    }


def test_examples_say_where_each_switched_word_stands():
    values = report(["The money. How much money, how much?"], SWAHILI)
    (example,) = values["languages"]["sw"]["examples"]
    assert example["text"] == "Ya pesa. Kiasi gani pesa, kiasi gani?"
    assert [change["english"] for change in example["changes"]] == ["The", "money", "How much", "money", "how much"]
    for change in example["changes"]:
        assert example["english"][slice(*change["english_span"])] == change["english"]
        assert example["text"][slice(*change["text_span"])] == change["translation"]


def test_examples_are_ten_and_long_ones_are_cut_off():
    values = report([f"money {number} " + "and the money " * 1000 for number in range(15)], SWAHILI)
    examples = values["languages"]["sw"]["examples"]
    assert len(examples) == 10
    for example in examples:
        assert example["cut_off"] and len(example["text"]) == 2000
        assert example["changes"][-1]["text_span"][1] <= 2000
    assert "cut off here" in to_html(values)


def test_encoder_tokens_are_counted_on_both_sides(tokenizer):
    values = report(["the money", "the dog"], SWAHILI, tokenizer=tokenizer)
    assert values["encoder_tokenizer"] == {"name": tokenizer, "unknown_token": "[UNK]"}
    assert values["languages"]["sw"]["encoder"] == {
        "texts": 2,
        "english": {"tokens_per_text": 2.0, "tokens_per_word": 1.0, "unknown_share": 0.0},
        "switched": {"tokens_per_text": 2.0, "tokens_per_word": 1.0, "unknown_share": 0.5},
        "unknown_words": [["ya", 2]],
    }
    page = to_html(values)
    assert "50.00%" in page and "ya</bdi> (2)" in page
    assert to_html(report(["the money"], SWAHILI)).count("Encoder tokens") == 0


def test_unknown_words_are_whole_translations_where_there_are_no_spaces(tokenizer):
    thai = Lexicon("th", {"money": ("เงิน",), "dog": ("สุนัข",)})
    values = report(["the money dog money", "xyz"], thai, tokenizer=tokenizer)
    assert values["languages"]["th"]["examples"][0]["text"].count(" ") < 3  # joined: no words to be seen
    assert values["languages"]["th"]["encoder"]["unknown_words"] == [["เงิน", 2], ["xyz", 1], ["สุนัข", 1]]


def test_tokenizer_of_another_kind_is_loaded_as_training_loads_it(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "7", "words"]))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    values = report(["the money"], SWAHILI, tokenizer=str(tmp_path))
    assert values["encoder_tokenizer"]["unknown_token"] == "[UNK]"
    assert values["languages"]["sw"]["encoder"]["english"]["unknown_share"] == 0.5


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone", None, "no such file or folder"),
        ("gone/tokenizer.json", None, "no such file or folder"),
        ("tokenizer.json", "{}", "tokenizer.json is no tokenizer that can be read"),
        ("wrong.txt", "words", "wrong.txt is no tokenizer that can be read"),
        ("", None, "has no tokenizer"),
    ],
)
def test_a_wrong_tokenizer_stops_the_command_before_any_work(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    (tmp_path / "config.json").write_text('{"model_type": "mt5"}')
    (tmp_path / "en-sw.txt").write_text("money pesa\n")
    (tmp_path / "in.txt").write_text("money\n")
    output = tmp_path / "out.jsonl"
    with pytest.raises(ModelError, match=said) as raised:
        run(tmp_path / "in.txt", tmp_path / "en-sw.txt", output, "--encoder-tokenizer", str(tmp_path / name))
    assert "\n" not in str(raised.value) and str(tmp_path / name) in str(raised.value)
    assert not output.exists()


def run(source, lexicons, output, *more: str) -> int:
    parser = ArgumentParser()
    command.add_parser(parser.add_subparsers())
    given = ["codeswitch", "--input", str(source), "--lexicons", str(lexicons), "--output", str(output), *more]
    args = parser.parse_args(given)
    return args.run(args)


def test_same_inputs_give_the_same_bytes_wherever_and_however(tmp_path, monkeypatch):
    found = []
    for folder, processes in (("here", 1), ("there", 2)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        Path("en-sw.txt").write_text("money pesa\nthe ya\nthe the\n")
        Path("in.txt").write_text("".join(f"the money {number}\n" for number in range(3000)))
        run("in.txt", "en-sw.txt", "out.jsonl", "--num-proc", str(processes))
        found.append((Path("report.json").read_bytes(), Path("report.html").read_bytes()))
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in b"".join(found[0])
    values = json.loads(found[0][0])
    assert values["records"] == 3000 and values["lexicons"]["sw"]["dropped"]["identity"]["count"] == 1


def test_importing_and_counting_needs_neither_torch_nor_transformers(tokenizer):
    code = f"""
import sys
from lingualift_ds.data.codeswitch import page, report
assert "tokenizers" not in sys.modules
report.EncoderTokenizer({tokenizer!r}).counts(["the money"])
print(not {{"torch", "transformers", "pyarrow"}} & set(sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "True"


def names(output: Path) -> tuple[str, str]:
    return tuple(path.name for path in report_paths(output))


def test_reports_of_two_outputs_in_a_folder_do_not_overwrite_each_other(tmp_path):
    def make(name: str, report_name: str | None = None) -> Path:
        output = tmp_path / name
        output.write_text("{}\n")
        if report_name:
            (tmp_path / report_name).write_text(json.dumps({"format": FORMAT, "output": name}))
        return output

    first = make("a.jsonl")
    assert names(first) == ("report.json", "report.html")
    make("a.jsonl", "report.json")
    assert names(first) == ("report.json", "report.html")
    second = make("b.jsonl.gz")
    assert names(second) == ("b.report.json", "b.report.html")
    make("b.jsonl.gz", "b.report.json")
    third = make("b.parquet")
    assert names(third) == ("b.parquet.report.json", "b.parquet.report.html")
    first.unlink()
    assert names(second) == ("b.report.json", "b.report.html")  # its own, though the other name is free now
    assert names(third) == ("report.json", "report.html")


@pytest.mark.parametrize("content", ['{"accuracy": 1}', "[1]", "no json", "\udcff", None])
def test_a_report_of_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "report.json"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content, errors="surrogateescape")
    assert names(tmp_path / "a.jsonl") == ("a.report.json", "a.report.html")


def test_records_named_as_a_report_are_not_overwritten(tmp_path):
    assert names(tmp_path / "report.json") == ("report.report.json", "report.report.html")
    (tmp_path / "report.json").write_text(json.dumps({"format": FORMAT, "output": "report.json"}))
    assert names(tmp_path / "report.json") == ("report.report.json", "report.report.html")


def test_page_marks_the_words_on_both_sides_and_isolates_those_from_the_right():
    page = parsed(to_html(report(["the money, the dog"], URDU)))
    assert marks(page, "was") == ["the", "money", "the"]
    assert marks(page, "is") == ["وہ", "پیسہ", "وہ"]
    isolated = [mark.find("bdi") for mark in page.iter("mark") if mark.get("class") == "is"]
    assert {part.get("lang") for part in isolated} == {"ur"}
    cells = [cell for cell in page.iter("td") if cell.get("dir") == "ltr"]
    assert ["".join(cell.itertext()) for cell in cells] == ["the money, the dog", "وہ پیسہ, وہ dog"]


def test_page_needs_no_other_file_and_runs_nothing():
    page = parsed(to_html(report(["the money"], SWAHILI)))
    for element in page.iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object")
        assert not {"src", "srcset", "onload", "onclick"} & set(element.attrib)
        assert element.get("href", "#").startswith("#")
    style = page.find("head/style").text
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style


def test_nothing_in_the_data_breaks_the_page_or_the_json():
    hostile = "</td><script>alert(1)</script> \"money'&amp; \x00\x1b[0m\x85\ufffe ]]> <!-- \u202e money"
    lexicon = Lexicon(
        "ar",
        {"money": ('<img src=x onerror="alert(2)">',), "the": ("\u202eلا\ud800",)},
        dropped={"not UTF-8": 1, "<reason>": 1},
        sources=("<lexicon>\udcff.txt",),
        examples={"not UTF-8": ("caf\udce9\x00",)},
    )
    bad = [Bad("<in>\udcff.jsonl:3", "not UTF-8 <here>\x07", 2)]
    values = report([("<id>\x00&", hostile), ("2", "the money\nthe")], lexicon, bad=bad, keep=("<keep>",))
    page = to_html(values)
    page.encode()
    root = parsed(page)
    assert not [element for element in root.iter() if element.tag in ("script", "img")]
    assert "\x00" not in page and "alert(1)" in "".join(root.itertext())
    assert "caf\ufffd␀" in "".join(root.itertext())
    loaded = json.loads(to_json(values).encode())
    assert loaded == json.loads(json.dumps(values))


class Tags(HTMLParser):
    """Start tags as a browser reads them."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_48_languages_have_a_line_a_link_and_a_section_each():
    lexicons = [Lexicon(code, {"money": (f"{code}-word",)}) for code in list(LANGUAGES)[:48] if code != "en"]
    page = to_html(report([f"{number} money" for number in range(2000)], *lexicons))
    tags = Tags(page).found
    targets = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = [attributes["href"][1:] for tag, attributes in tags if tag == "a"]
    assert len([tag for tag, _ in tags if tag == "section"]) == len(lexicons)
    assert set(links) <= targets
    assert not [attributes for tag, attributes in tags if tag == "details" and "open" in attributes]
    parsed(page)


def test_warnings_stand_at_the_top(tokenizer):
    texts = ["the dog"] * 40
    rare = Lexicon("hi", {"dog": ("कुत्ता",)})
    bad = [Bad("in.jsonl:3", "not JSON", 2)]
    assert report(["money"], SWAHILI)["warnings"] == []
    assert "Look at this first" not in to_html(report(["money"], SWAHILI))
    values = report([f"{text} {'word ' * 20}" for text in texts], NOTHING, rare, tokenizer=tokenizer, bad=bad)
    said = [(warning["language"], warning["message"]) for warning in values["warnings"]]
    assert ("th", "no word of the text is in its lexicon; its records are plain English") in said
    assert any(code == "hi" and "below 10%" in message for code, message in said)
    assert any(code == "hi" and "tokenizer does not know" in message for code, message in said)
    page = to_html(values)
    start, end = page.index("<aside"), page.index("</aside>")
    assert "plain English" in page[start:end] and "in.jsonl:3: not JSON" in page[start:end]
    assert 'href="#language-th"' in page[start:end]


def test_a_language_that_no_record_drew_is_told():
    values = report(["money"], SWAHILI, URDU)
    (missing,) = [code for code in ("sw", "ur") if not values["languages"][code]["records"]]
    assert values["warnings"][0]["language"] == missing
    parsed(to_html(values))


def test_mixed_languages_are_told_by_their_sets_and_their_lexicons_apart():
    values = report(["the money and the money"] * 20, SWAHILI, URDU, NOTHING, mix=2)
    assert set(values["languages"]) == {"sw,th", "sw,ur", "th,ur"}
    assert values["languages"]["sw,ur"]["name"] == "Swahili and Urdu"
    assert [warning["language"] for warning in values["warnings"]] == ["th"]
    page = parsed(to_html(values))
    assert "Lexicons" in ["".join(head.itertext()) for head in page.iter("h2")]
    assert {"sw", "ur"} <= {mark.find("bdi").get("lang") for mark in page.iter("mark")}


def test_histogram_draws_every_bin_to_scale():
    counts = [3, 0, *[0] * 17, 120, 60]
    drawn = ElementTree.fromstring(histogram([edge / 20 for edge in range(21)], counts, "a <label>"))
    bars = [float(bar.get("height")) for bar in drawn.iter("rect")]
    assert len(bars) == 21 and bars[19] == pytest.approx(2 * bars[20], abs=0.1) and bars[1] == 0
    assert [bar.find("title").text for bar in drawn.iter("rect")][0] == "none: 3"
    assert drawn.get("aria-label") == "a <label>"
    parsed(histogram([0.0, 1.0], [0, 0], "nothing"))
