"""English that is code-switched while training: the same for a seed, an epoch and a sample, new in every epoch."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import tiny
from test_data import ids_of
from test_prepared import folders, rows, said, tokenizer, tokenizers  # noqa: F401

from lingualift_ds.checkpoint.store import check_identity
from lingualift_ds.cli import main as cli
from lingualift_ds.config.batch import plan_batch
from lingualift_ds.config.load import dump_config, load_config
from lingualift_ds.config.schema import BatchConfig, CodeSwitchConfig
from lingualift_ds.data.cache import prepared_samples, samples_by_epoch
from lingualift_ds.data.codeswitch import Stage1Maker
from lingualift_ds.data.collate import BatchLayout
from lingualift_ds.data.loader import StepLoader, steps_by_epoch
from lingualift_ds.data.prepared import EpochSamples, SampleList
from lingualift_ds.data.records import Record
from lingualift_ds.data.rows import SwitchedRows
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import CheckpointError, DataError
from lingualift_ds.train import build
from lingualift_ds.train.folder import decide, stage_folder
from lingualift_ds.train.run import prepare
from lingualift_ds.train.stages import stage_of

WORDS = "apples\ttufaha\napples\tmatufaha\nhas\tana\nbuys\tananunua\nmore\tzaidi\nhow\tngapi\nvery\tsana\n"


def english(path: Path, count: int = 20, ids: bool = True) -> str:
    """Rows as GSM8K has them, which carry no Stage I target, with a blank one at the end."""
    made = [json.loads(line) for line in tiny.write_rows(path, count).read_text().splitlines()]
    asked = [({"id": row["id"]} if ids else {}) | {"question": row["text"], "answer": "7"} for row in made]
    path.write_text("".join(json.dumps(r) + "\n" for r in [*asked, {"id": "blank", "question": " ", "answer": "7"}]))
    return str(path)


def lexicons(folder: Path, words: str = WORDS) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "en-sw.txt").write_text(words)
    (folder / "en-es.txt").write_text("apples\tmanzanas\nhas\ttiene\nbuys\tcompra\n")
    return str(folder)


def maker(folder: Path, seed: int = 1, words: str = WORDS, **settings) -> Stage1Maker:
    return Stage1Maker.from_config(CodeSwitchConfig(lexicons=(lexicons(folder / "lex", words),), **settings), seed)


def switched(*paths: str, folder: Path, **settings) -> SwitchedRows:
    return SwitchedRows(paths, maker(folder, **settings))


def content(samples) -> dict[str, list]:
    return {s.id: [s.language, s.encoder_ids.tolist(), s.prompt_ids.tolist(), s.target_ids.tolist()] for s in samples}


def test_the_first_epoch_is_what_the_command_writes(tmp_path):
    path, tokens, store = english(tmp_path / "rows.jsonl", ids=False), tokenizer(), tmp_path / "cache"
    settings = {"ratio": "0.2..0.9", "variants": 2, "split_sentences": True, "mix": 2}
    samples = samples_by_epoch(switched(path, folder=tmp_path, **settings), tokens, store)
    command = ["codeswitch", "--input", path, "--lexicons", str(tmp_path / "lex"), "--seed", "1", "--mix", "2"]
    command += ["--ratio", "0.2..0.9", "--variants", "2", "--split-sentences", "--num-proc", "1"]
    assert cli.main([*command, "--output", str(tmp_path / "made.jsonl")]) == 0
    assert len(samples) > 40
    from_file = prepared_samples(rows(str(tmp_path / "made.jsonl")), tokens, store)
    assert from_file.digest == samples.digest


def test_an_epoch_is_switched_the_same_whatever_happens_and_anew_in_the_next(tmp_path):
    path, tokens = english(tmp_path / "rows.jsonl"), tokenizer()
    epochs = [content(samples_by_epoch(switched(path, folder=tmp_path), tokens, tmp_path / "a").of(e)) for e in (0, 1)]
    lines = Path(path).read_text().splitlines()
    Path(path).write_text("".join(f"{line}\n" for line in reversed(lines)))
    later_first = samples_by_epoch(switched(path, folder=tmp_path), tokens, tmp_path / "b")
    assert [content(later_first.of(e)) for e in (1, 0)] == epochs[::-1]
    assert epochs[0].keys() == epochs[1].keys() and len(epochs[0]) == 20
    differ = [i for i in epochs[0] if epochs[0][i] != epochs[1][i]]
    assert len(differ) > 10
    targets = [{i: values[3] for i, values in epoch.items()} for epoch in epochs]
    assert targets[0] == targets[1], "the English stays"
    other_seed = samples_by_epoch(switched(path, folder=tmp_path, seed=2), tokens, tmp_path / "a")
    assert content(other_seed) != epochs[0]


def test_every_epoch_is_prepared_once_and_found_again(tmp_path, said):  # noqa: F811
    path, store = english(tmp_path / "rows.jsonl"), tmp_path / "cache"
    for built in (True, False):
        samples = samples_by_epoch(switched(path, folder=tmp_path), tokenizer(), store)
        assert [samples.of(e).built for e in range(3)] == [built] * 3
        assert samples.of(2) is samples.of(2)
    assert len(folders(store)) == 3 == len({samples.of(e).folder for e in range(3)})
    assert f"{path}, epoch 2: 1 rows dropped, no text" in said.warnings()


def test_whatever_decides_the_switching_changes_the_folder(tmp_path):
    path, store, seen = english(tmp_path / "rows.jsonl"), tmp_path / "cache", set()

    def is_new(**changes) -> bool:
        limit, instruction = changes.pop("limit", None), changes.pop("instruction", None)
        changed = SwitchedRows((path,), maker(tmp_path, **changes), instruction=instruction, limit=limit)
        folder = samples_by_epoch(changed, tokenizer(), store).of(0).folder.name
        new = folder not in seen
        seen.add(folder)
        return new

    assert is_new() and not is_new()
    assert is_new(seed=2) and is_new(ratio="0.9") and is_new(languages=("sw",)) and is_new(limit=5)
    assert is_new(words=WORDS.replace("sana", "mno")) and is_new(instruction="Say it in {language}:")
    assert is_new(words=WORDS.replace("sana", "mno"), names="switch")
    (tmp_path / "lex").rename(tmp_path / "moved")
    moved = Stage1Maker.from_config(CodeSwitchConfig(lexicons=(str(tmp_path / "moved"),), names="switch"), 1)
    assert not samples_by_epoch(SwitchedRows((path,), moved), tokenizer(), store).of(0).built, "content, not place"


def test_rows_of_several_files_a_limit_and_an_instruction(tmp_path):
    paths = [english(tmp_path / name, 3) for name in ("a.jsonl", "b.jsonl")]
    both = samples_by_epoch(switched(*paths, folder=tmp_path), tokenizer(), tmp_path / "cache")
    assert list(content(both)) == [f"{path}:en-{i}" for path in paths for i in range(3)]
    one = maker(tmp_path, variants=2, mix=2, ratio="1.0")
    told = SwitchedRows((paths[0],), one, instruction="Undo {language}:", limit=2)
    few, tokens = samples_by_epoch(told, tokenizer(), tmp_path / "cache"), tokenizer()
    assert {s.id.split("~")[0] for s in few} == {"en-0", "en-1"}, "rows, whatever their samples"
    ids = tokens.llm("Undo Spanish and Swahili:", add_special_tokens=False)["input_ids"]
    assert all(s.prompt_ids.tolist()[-len(ids) :] == ids and s.language == "es,sw" for s in few)


def write(text: str):
    return lambda path: path.write_text(text)


STAGE1 = {"id": 1, "source": "1", "text": "a", "instruction": "b", "target": "c", "language": "sw", "ratio": 0.5}
BAD = {
    r"rows\.jsonl:2: field 'question' is not text but number": write('{"question": "a"}\n{"question": 7}\n'),
    r"rows\.jsonl:2: not JSON": write('{"question": "a"}\n{"question\n'),
    r"rows\.jsonl: holds Stage I records, but data.codeswitch makes them": write(json.dumps(STAGE1)),
    r"rows\.jsonl:1: no field with English text; found prompts": write('{"prompts": "a"}'),
    r"id '1' is given to more than one row": write('{"id": 1, "question": "a"}\n{"id": 1, "question": "b"}\n'),
    r"rows\.jsonl, epoch 0: no usable row: \{'dropped, no text': 2\}; each needs an English text": write(
        '{"question": ""}\n{"question": " "}\n'
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_english_is_said_and_leaves_nothing(tmp_path, text):
    BAD[text](tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match=text):
        samples_by_epoch(switched(str(tmp_path / "rows.jsonl"), folder=tmp_path), tokenizer(), tmp_path / "cache")
    assert folders(tmp_path / "cache") == []


# The loader


def epoch_samples(tokens: SampleTokenizer, made: list[int]) -> EpochSamples:
    """Sets of 21, 18, 15 ... samples; `made` tells which were asked for."""

    def make(epoch: int) -> SampleList:
        made.append(epoch)
        texts = ["apples " * (1 + (i + epoch) % 7) for i in range(21 - 3 * epoch)]
        records = (Record(str(i), text, f"epoch {epoch}:", f"{i}", "sw") for i, text in enumerate(texts))
        return SampleList(tokens.samples(records, Counter()))

    return EpochSamples(make)


def loaders(count: int, order: str = "shuffled", epochs: int | None = 3, **batch):
    tokens = tokenizer()
    layout = BatchLayout.of(tokens.llm, tokens.encoder, tokens.layout)
    plan, made = plan_batch(BatchConfig(**(batch or {"samples": 8}), micro_tokens=400), 2), []
    return [StepLoader(epoch_samples(tokens, made), plan, 1, 0, layout, order, epochs) for _ in range(count)], made


@pytest.mark.parametrize("batch", [{"samples": 8}, {"tokens": 120}])
def test_killed_in_a_later_epoch_the_loader_goes_on_with_the_same_numbers(batch):
    (straight, resumed), _ = loaders(2, **batch)
    by_epoch = steps_by_epoch(straight.samples, straight.batch, 0, "shuffled", 3)
    assert len(by_epoch) == 3 and by_epoch[0] > by_epoch[2]
    for _ in range(by_epoch[0] + 1):
        straight.next_step()
    state = straight.state_dict()
    assert state["epoch"] == 1
    resumed.load_state_dict(json.loads(json.dumps(state)))
    for _ in range(sum(by_epoch) - by_epoch[0] - 1):
        one, other = straight.next_step(), resumed.next_step()
        assert one.sample_ids == other.sample_ids and one.llm_tokens == other.llm_tokens
        for a, b in zip(one.micro_batches, other.micro_batches, strict=True):
            assert a["llm"]["ids"].equal(b["llm"]["ids"]) and a["targets"].equal(b["targets"])
    assert straight.state_dict() == {"epoch": 3, "step_in_epoch": 0}


@pytest.mark.parametrize(("steps", "expected"), [(None, [0, 1, 2]), (2, [0]), (4, [0, 1]), (7, [0, 1, 2])])
def test_only_epochs_that_the_run_goes_through_are_made(steps, expected):
    (loader,), made = loaders(1)
    by_epoch = steps_by_epoch(loader.samples, loader.batch, 0, "shuffled", 3, steps)
    loader.epochs = len(by_epoch)
    for _ in range(steps or sum(by_epoch)):
        loader.next_step()
    loader.close()
    assert made == expected


def test_in_the_order_of_the_files_every_epoch_goes_from_first_to_last():
    (loader,), _ = loaders(1, order="file")
    for epoch, count in enumerate((21, 18)):
        chunks = [range(count)[first : first + 8] for first in range(0, count, 8)]
        for chunk in chunks:
            step = loader.next_step()
            assert step.samples == len(chunk) and set(map(int, ids_of(step))) <= set(chunk), epoch


# A stage of a recipe


def recipe(folder: Path) -> Path:
    path = tiny.write_recipe(folder)
    lexicons(folder / "lex")
    english(folder / "stage1.jsonl", 40)
    english(folder / "heldout.jsonl", 7)
    return path


def settings(folder: Path, *overrides: str) -> list[str]:
    return [f"stage1.data.codeswitch.lexicons=[{folder}/lex]", "stage1.epochs=2", *overrides]


def test_a_stage_prepares_all_its_epochs_and_names_the_lexicon_that_changed(tmp_path):
    path = recipe(tmp_path / "w")

    def identity(*overrides: str) -> dict:
        config = load_config(path, settings(tmp_path / "w", *overrides))
        stage = stage_of(config, 1)
        return prepare(config, stage, stage_folder(config, stage), "fresh").identity

    before = identity()
    store = load_config(path).run.cache
    assert len([f for f in folders(Path(store)) if "." not in f]) == 3, "two epochs, and the held-out rows as of one"
    assert identity() == before
    manifest = {"identity": before, "sources": {"lexicon": f"{tmp_path}/w/lex", "data": "stage1.jsonl"}}
    lexicons(tmp_path / "w/lex", WORDS.replace("sana", "mno"))
    with pytest.raises(CheckpointError, match=r"its lexicon \(.*/w/lex\) is no longer what it was \(\w{64}, now"):
        check_identity(Path("step-000001"), manifest, identity())
    lexicons(tmp_path / "w/lex")
    (tmp_path / "w/lex").rename(tmp_path / "w/moved")
    check_identity(Path("step-000001"), manifest, identity(f"stage1.data.codeswitch.lexicons=[{tmp_path}/w/moved]"))
    english(tmp_path / "w/stage1.jsonl", 39)
    with pytest.raises(CheckpointError, match=r"its data \(stage1\.jsonl\) is no longer what it was"):
        check_identity(Path("step-000001"), manifest, identity(f"stage1.data.codeswitch.lexicons=[{tmp_path}/w/moved]"))


def test_other_settings_are_another_run_and_moved_lexicons_are_not(tmp_path):
    path = recipe(tmp_path / "w")
    config = load_config(path, settings(tmp_path / "w"))
    stage = stage_of(config, 1)
    folder = stage_folder(config, stage)
    (folder.checkpoints / "step-000001").mkdir(parents=True)
    folder.config.write_text(dump_config(config))
    assert load_config(folder.config) == config
    moved = load_config(path, settings(tmp_path / "w", "stage1.data.codeswitch.lexicons=[elsewhere]"))
    assert decide(folder, moved, stage, "auto") == "resume"
    other = load_config(path, settings(tmp_path / "w", "stage1.data.codeswitch.ratio=0.7"))
    with pytest.raises(CheckpointError, match=r"stage1\.data\.codeswitch\.ratio was '0\.5', is 0\.7"):
        decide(folder, other, stage, "auto")


def test_heldout_rows_are_switched_as_of_the_first_epoch(tmp_path):
    config = load_config(recipe(tmp_path / "w"), settings(tmp_path / "w"))
    stage = stage_of(config, 1)
    train, heldout = build.read_samples(
        config, stage, build.read_sources(config.model), build.read_maker(config, stage)
    )
    assert isinstance(train, EpochSamples) and list(train.sets) == [0, 1]
    found, first = content(heldout), content(train.of(0))
    assert len(found) == 7 and found == {i: first[i] for i in found}, "the same rows, so the same samples"


def test_prepare_lists_every_epoch_and_check_says_what_is_switched(tmp_path, capsys):
    path = recipe(tmp_path / "w")
    for now in ("prepared now", "already prepared"):
        assert cli.main(["prepare", "--config", str(path), "--stage", "1", *settings(tmp_path / "w")]) == 0
        out = capsys.readouterr().out
        assert "rows     40 used, 1 dropped" in out and "  epoch 1  40 used, 1 dropped, " in out
        assert out.count(now) == 3
    rising = "stage1.data.codeswitch.ratio=0.2..0.8"
    command = ["check", "--config", str(path), "--stage", "1", *settings(tmp_path / "w", rising)]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "anew in every epoch: es 50.0% (3 entries), sw 50.0% (6 entries); ratio 0.2..0.8" in out
    assert "set data.order to file" in out
    assert cli.main([*command, "stage1.data.order=file"]) == 0
    assert "set data.order to file" not in capsys.readouterr().out


PROBLEMS = {
    "stage1.data.codeswitch.ratio=2": r"stage1\.data\.codeswitch: ratio 2: shares between 0 and 1",
    "stage1.data.codeswitch.ratio=half": r"stage1\.data\.codeswitch: ratio 'half': a share such as 0\.5",
    "stage1.data.codeswitch.mix=0": r"stage1\.data\.codeswitch\.mix: 0, must be at least 1",
    "stage1.data.codeswitch.variants=0": r"stage1\.data\.codeswitch\.variants: 0, must be at least 1",
    "stage1.data.codeswitch.temperature=0": r"codeswitch\.temperature: 0\.0, must be above 0, and finite",
    "stage1.data.codeswitch.languages=[hi]": r"no lexicon of 'hi'",
    "stage1.data.codeswitch.languages=[sw, no]": r"languages\[1\]: expected text, found a switch False; YAML takes no",
    "stage1.data.codeswitch.lexicons=[]": r"codeswitch\.inflections: True, but nothing is switched without",
    "stage1.data.shape=gsm8k": r"stage1\.data\.shape: gsm8k, but codeswitch reads no answers",
    "stage1.data.english_field=body": r"stage1\.jsonl:1: no field 'body'; found id, question, answer",
}


@pytest.mark.parametrize("override", PROBLEMS)
def test_settings_that_cannot_be_meant_end_in_one_line(tmp_path, capsys, override):
    path = recipe(tmp_path / "w")
    overrides = settings(tmp_path / "w", "stage1.data.codeswitch.inflections=true", override)
    assert cli.main(["prepare", "--config", str(path), "--stage", "1", *overrides]) == 2
    assert re.search(PROBLEMS[override], capsys.readouterr().err)


def test_stage_2_has_nothing_to_switch(tmp_path, capsys):
    path = recipe(tmp_path / "w")
    override = f"stage2.data.codeswitch.lexicons=[{tmp_path}/w/lex]"
    assert cli.main(["check", "--config", str(path), "--stage", "2", override]) == 2
    assert "stage2.data.codeswitch: code-switched text is what language-align is trained on" in capsys.readouterr().err
