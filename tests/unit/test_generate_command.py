"""`lingualift-ds generate`: one question, a file of them, a prompt; answers on stdout, all else on stderr."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
import time

import pytest
import tiny
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

from lingualift_ds.checkpoint.artefact import Contents, stream_artefact
from lingualift_ds.checkpoint.manifest import fingerprint
from lingualift_ds.checkpoint.tensors import TensorSpec
from lingualift_ds.cli import generate
from lingualift_ds.cli import main as cli
from lingualift_ds.config.schema import AlignmentConfig
from lingualift_ds.data.cache import tokenizer_digest
from lingualift_ds.evaluate import speaking
from lingualift_ds.evaluate.golden.folder import read_record, write_model
from lingualift_ds.evaluate.speaking import Decoding, Speaker, looks_like
from lingualift_ds.model.alignment import AlignmentLayer

SWAHILI = "Ana ana tufaha 3 na ananunua 4 zaidi. Je, ana tufaha ngapi sasa hivi kwa jumla?"


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {"encoder": tiny.save_encoder(folder / "encoder"), "llm": tiny.save_llm(folder / "llm")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model of fixed weights that writes nothing but ASCII, another text for every question."""
    folder, case = tmp_path_factory.mktemp("model"), next(iter(read_record()["models"].values()))
    write_model(folder, case)
    tensors = load_file(folder / "model.safetensors")
    for token, row in case["tokenizers"]["llm"]["tokenizer.json"]["model"]["vocab"].items():
        if not token.replace("\u0120", "a").isascii():
            tensors["llm.lm_head.weight"][row] = 0  # less likely than the likeliest of the others
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, cache={}):  # noqa: B006
    """A model is loaded once, however often it is asked for here."""
    plain = speaking.load

    def load(folder, encoder=None, llm=None):
        key = (str(folder), encoder, llm)
        cache[key] = cache.get(key) or plain(folder, encoder, llm)
        return cache[key]

    monkeypatch.setattr(speaking, "load", load)


def ask(model, *arguments: str) -> int:
    return cli.main(["generate", "--model", str(model), "--max-new-tokens", "12", *arguments])


def expected(model, text, instruction=None, **options) -> str:
    return speaking.load(model).answer(text, instruction, 12, **options)[0].text


def test_one_question_streams_to_stdout_and_is_described_on_stderr(model, capsys):
    assert ask(model, SWAHILI) == 0
    out, err = capsys.readouterr()
    assert out == expected(model, SWAHILI) + "\n"
    asked = Speaker(speaking.load(model)).ask(SWAHILI)
    head = f"Swahili (sw), {asked.encoder_tokens} encoder tokens"
    assert err.startswith(head) and f", {asked.positions} prompt positions, 12 new tokens, " in err
    assert "tokens/s, cut before its end\n" in err and "\x1b" not in err
    assert ask(model, SWAHILI, "--quiet", "--instruction", "Translate:") == 0
    out, err = capsys.readouterr()
    assert out == expected(model, SWAHILI, "Translate:") + "\n" != expected(model, SWAHILI) + "\n"
    assert err == ""


def test_positions_are_what_the_llm_reads(model):
    loaded = speaking.load(model)
    asked = Speaker(loaded).ask(SWAHILI)
    inputs = loaded.processor([SWAHILI])
    assert asked.positions == loaded.prompt_embeddings(**inputs)[0].shape[1]
    assert asked.encoder_tokens == inputs["encoder_input_ids"].shape[1] and not asked.shortened
    assert Speaker(loaded).ask(SWAHILI * 9).shortened


def test_what_the_encoder_does_not_know_is_warned_of(model, capsys):
    assert ask(model, "\u1208\u121d \u1295 apples \u12f0\u1205") == 0
    err = capsys.readouterr().err
    unknown, tokens = map(int, (err.split(" (")[1].split()[0], err.split(", ")[1].split()[0]))
    assert unknown > 0.1 * tokens
    assert f"warning: the encoder does not know {unknown} of its {tokens} tokens\n" in err
    assert err.startswith("?, ")


@pytest.mark.parametrize("text", ["apples", SWAHILI, *tiny.TEXTS])
def test_a_stream_is_the_answer_in_whole_words(model, text):
    speaker = Speaker(speaking.load(model), decoding=Decoding(40))
    pieces: list[str] = []
    said = speaker.say(text, pieces.append)
    assert "".join(pieces) == said.text == speaking.load(model).answer(text, None, 40)[0].text
    assert not any(piece[:1].isalnum() for piece in pieces[1:-1])  # a piece begins where a word ends


def test_words_come_before_the_answer_is_whole(model):
    llm = speaking.load(model).processor.llm
    pieces: list[str] = []
    stream = speaking._Stream(llm, pieces.append)
    stream.put(torch.zeros(1, 0))
    for number in llm("  Ana has\nचार 7 ", add_special_tokens=False)["input_ids"]:
        stream.put(torch.tensor([number]))
    assert pieces == ["Ana", " has", "\nचार", " 7"] and stream.written == "Ana has\nचार 7"


def test_beams_and_sampling_are_generates(model, capsys):
    assert ask(model, SWAHILI, "--beams", "3", "--quiet") == 0
    assert capsys.readouterr().out == expected(model, SWAHILI, num_beams=3) + "\n"
    drawn = []
    for seed in ("1", "1", "2"):
        assert ask(model, SWAHILI, "--sample", "--temperature", "3", "--top-p", "0.9", "--seed", seed, "--quiet") == 0
        drawn.append(capsys.readouterr().out)
    assert drawn[0] == drawn[1] != drawn[2] and expected(model, SWAHILI) + "\n" not in drawn


def test_piped_in_is_one_question(model, capsys, monkeypatch):
    for argument in ([], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"\ufeff{SWAHILI}\n".encode())))
        assert ask(model, *argument, "--quiet") == 0
        assert capsys.readouterr().out == expected(model, SWAHILI) + "\n"


def test_a_file_is_answered_in_its_order(model, tmp_path, capsys):
    rows = [{"id": f"q{n}", "question": text, "answer": "7"} for n, text in enumerate([SWAHILI, *tiny.TEXTS])]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "q.txt").write_text(SWAHILI + "\n\n\u1208 \u121d\n")
    found = {}
    for name in ("q.jsonl", "q.txt"):
        files = ["--input", str(tmp_path / name), "--output", str(tmp_path / "out" / name)]
        assert ask(model, *files, "--batch-size", "2") == 0
        found[name] = [json.loads(line) for line in (tmp_path / "out" / name).read_text().splitlines()]
        out, err = capsys.readouterr()
        assert out == ""
    assert [row["id"] for row in found["q.jsonl"]] == [row["id"] for row in rows]
    assert [row["answer"] for row in found["q.jsonl"]] == [expected(model, row["question"]) for row in rows]
    assert found["q.jsonl"][0].keys() == {
        "id", "text", "answer", "language", "encoder_tokens", "new_tokens", "finished",
    }  # fmt: skip
    assert found["q.jsonl"][0]["language"] == "sw" and found["q.txt"][1]["language"] is None
    assert [row["id"] for row in found["q.txt"]] == ["1", "3"]
    assert "2 answers, " in err and "1 are answers to a question of which the encoder does not know" in err
    assert "1 blank rows hold no question" in err


def test_a_model_of_text_alone_has_no_encoder_tokens(bases, tmp_path, capsys):
    (tmp_path / "q.txt").write_text("apples\n")
    assert ask(bases["llm"], "--input", str(tmp_path / "q.txt"), "--output", str(tmp_path / "a")) == 0
    assert json.loads((tmp_path / "a").read_text())["encoder_tokens"] is None
    assert ask(bases["llm"], "How many apples?", "--instruction", "Say:") == 0
    assert "encoder" not in capsys.readouterr().err


def test_stage_1s_layer_restores_english_between_base_models(bases, tmp_path, capsys):
    config = AutoConfig.from_pretrained(bases["llm"])
    layer = AlignmentLayer(AlignmentConfig(kind="linear"), 32, config.hidden_size).state_dict()
    own = {f"alignment.{name}": tensor for name, tensor in layer.items()}
    described = {
        "model_type": "lingualift",
        "alignment": {"kind": "linear", "latents": 4},
        "instruction": "Translate this {language} sentence:",
        "encoder_max_tokens": 60,
        "llm_max_tokens": 200,
        "whitespace_rows": {},
        **{
            role: {
                "name": str(folder),
                "width": 32,
                "fingerprint": fingerprint(str(folder), None),
                "tokenizer": tokenizer_digest(AutoTokenizer.from_pretrained(folder)),
            }
            for role, folder in bases.items()
        },
    }
    contents = Contents("alignment", described, {}, {"step": 1})
    stream_artefact(tmp_path / "a", {n: TensorSpec.of(t) for n, t in own.items()}, own.items(), contents)
    assert ask(tmp_path / "a", "Ana has 3 tufaha") == 0  # the base models are where training found them
    capsys.readouterr()
    answers = {}
    for language in ([], ["--language", "swh"]):
        assert ask(tmp_path / "a", "Ana has 3 tufaha", "--llm", str(bases["llm"]), *language) == 0
        answers[len(language)], err = capsys.readouterr()
        assert ("told 'Translate this sentence:'" in err) == (not language)
    loaded = speaking.load(tmp_path / "a", None, str(bases["llm"]))
    for told, answer in zip(("Translate this sentence:", "Translate this Swahili sentence:"), answers.values()):
        assert loaded.answer("Ana has 3 tufaha", told, 12)[0].text + "\n" == answer
    assert ask(tmp_path / "a", "a", "--llm", str(bases["llm"]), "--language", "sw", "--instruction", "Say:") == 2
    assert "--language: the instruction has no {language} to fill" in capsys.readouterr().err


BAD = {
    "both": (["a question", "--input", "{w}/q.txt", "--output", "{w}/o"], "a question and --input: one of them"),
    "no output": (["--input", "{w}/q.txt"], "--input: needs --output F too"),
    "no input": (["hi", "--output", "{w}/o"], "--output: needs --input F too"),
    "empty": ([" \n"], "the question is empty"),
    "not UTF-8": (["a \udcff"], "the question is not UTF-8"),
    "a blank instruction": (["hi", "--instruction", " "], "--instruction ' ': is blank"),
    "no batch": (["hi", "--batch-size", "0"], "--batch-size 0: must be at least 1"),
    "no beam": (["hi", "--beams", "-1"], "--beams -1: must be at least 1"),
    "cold": (["hi", "--sample", "--temperature", "0"], "--temperature 0.0: must be above 0"),
    "no number": (["hi", "--sample", "--temperature", "nan"], "--temperature nan: must be above 0"),
    "share": (["hi", "--sample", "--top-p", "1.5"], "--top-p 1.5: must be above 0 and at most 1"),
    "seed": (["hi", "--sample", "--seed", "-1"], "--seed -1: must be 0 or more"),
    "seed of nothing": (["hi", "--seed", "1"], "--seed: is for --sample"),
    "language": (["hi", "--language", "qqq"], "language 'qqq': not a known ISO 639 code"),
    "over the input": (["--input", "{w}/q.txt", "--output", "{w}/q.txt"], "q.txt: is the input too"),
    "unwritable": (["--input", "{w}/q.txt", "--output", "/proc/nowhere/o"], "/proc/nowhere/o: cannot be written"),
    "a folder": (["--input", "{w}/q.txt", "--output", "{w}"], "is not a plain file"),
    "no file": (["--input", "{w}/none.txt", "--output", "{w}/o"], "none.txt: no such file"),
    "bytes": (["--input", "{w}/latin.txt", "--output", "{w}/o"], "latin.txt:2: not UTF-8"),
    "no text": (["--input", "{w}/n.jsonl", "--output", "{w}/o"], "no field with English text; found n"),
    "no model": (["hi"], "no such folder; name an exported model"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_before_the_model_is_loaded(name, tmp_path, capsys):
    (tmp_path / "q.txt").write_text("How many?\n")
    (tmp_path / "latin.txt").write_bytes(b"a\ncaf\xe9\n")
    (tmp_path / "n.jsonl").write_text('{"n": 1}\n')
    before = sorted(tmp_path.iterdir())
    arguments, said = BAD[name]
    assert ask(tmp_path / "nowhere", *(argument.format(w=tmp_path) for argument in arguments)) == 2
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_all_problems_are_told_at_once(tmp_path, capsys):
    assert ask(tmp_path, "hi", "--beams", "0", "--batch-size", "0") == 2
    err = capsys.readouterr().err
    assert "--beams 0" in err and "--batch-size 0" in err


@pytest.mark.parametrize(("data", "said"), [(b"", "nothing was piped in"), (b"caf\xe9", "standard input: not UTF-8")])
def test_what_is_piped_in_is_checked(data, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert ask(tmp_path / "nowhere") == 2
    assert said in capsys.readouterr().err


def test_what_does_not_fit_the_llm_is_said(model, tmp_path, capsys):
    assert ask(model, "hi", "--instruction", "word " * 300) == 2
    assert "the question: the instruction leaves no room for it within 200 tokens" in capsys.readouterr().err
    (tmp_path / "q.txt").write_text("hi\n")
    files = ["--input", str(tmp_path / "q.txt"), "--output", str(tmp_path / "o")]
    assert ask(model, *files, "--instruction", "word " * 300) == 2
    assert "q.txt:1: the question: the instruction leaves no room" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    said = Speaker(speaking.load(model), "word " * 20, Decoding(100_000)).say("hi", lambda text: None)
    assert said.asked.positions + said.tokens <= 256


def test_languages_of_texts():
    assert looks_like(SWAHILI) == "Swahili (sw)" and looks_like("hi") == ""
    assert looks_like("แอนมีแอปเปิ้ล 3 ลูกและซื้อเพิ่มอีก 4 ลูก เธอมีแอปเปิ้ลกี่ลูก") == "Thai (th)"


class Typist:
    """Types lines into a pseudo-terminal that a command runs on, and keeps what the command writes there."""

    def __init__(self, arguments: list[str], stdout=None):
        master, slave = pty.openpty()
        self.master, self.seen = master, ""
        env = os.environ | {"TERM": "dumb", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lingualift_ds.cli.main", "generate", *arguments],
            stdin=slave, stdout=stdout or slave, stderr=slave, env=env, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while data := os.read(self.master, 65536):
                self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        except OSError:
            pass  # the other end is closed

    def wait_for(self, text: str, count: int = 1):
        end = time.monotonic() + 120
        while self.seen.count(text) < count:
            assert time.monotonic() < end and self.reader.is_alive(), self.seen
            time.sleep(0.02)

    def type(self, line: str | bytes):
        os.write(self.master, line if isinstance(line, bytes) else line.encode() + b"\n")

    def close(self) -> int:
        code = self.process.wait(60)
        self.reader.join(10)
        os.close(self.master)
        return code


def test_a_prompt_on_a_terminal(model):
    typist = Typist(["--model", str(model), "--max-new-tokens", "12"])
    typist.wait_for("> ")
    assert "told: Solve the following math problem:" in typist.seen
    typist.type(SWAHILI)
    typist.wait_for("tokens/s")
    assert f"\n{expected(model, SWAHILI)}\nSwahili (sw), " in typist.seen
    typist.type("")
    typist.type(":instruction Translate: now")
    typist.wait_for("told: Translate: now")
    typist.type(SWAHILI)
    typist.wait_for("tokens/s", 2)
    assert f"\n{expected(model, SWAHILI, 'Translate: now')}\nSwahili (sw), " in typist.seen
    typist.type(":instruction " + "word " * 200)
    typist.wait_for("told: word word")
    typist.type("apples")
    typist.wait_for("error: the question: the instruction leaves no room")
    typist.type(":nonsense")
    typist.wait_for("error: :nonsense: no such command; :instruction TEXT")
    typist.type(b"\x04")
    assert typist.close() == 0 and "Traceback" not in typist.seen


def test_answers_at_a_prompt_can_be_redirected(model, tmp_path):
    with (tmp_path / "answers").open("w") as file:
        typist = Typist(["--model", str(model), "--max-new-tokens", "12"], file)
        for number, text in enumerate((SWAHILI, "apples"), start=1):
            typist.wait_for("> ", number)
            typist.type(text)
        typist.wait_for("> ", 3)
        typist.type(":quit")
        assert typist.close() == 0
    assert (tmp_path / "answers").read_text() == f"{expected(model, SWAHILI)}\n{expected(model, 'apples')}\n"


def test_control_characters_do_not_reach_a_terminal(model, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    said = Speaker(speaking.load(model)).say("apples", lambda text: None)
    speaker = type("Speaks", (), {"say": lambda self, text, write: write("a\x1b[2Jb") or said})()
    generate._say(speaker, "apples", quiet=True)
    assert written.getvalue() == "a\x1b[2Jb\n"
    written.isatty = lambda: True
    generate._say(speaker, "apples", quiet=True)
    assert written.getvalue().endswith("a␛[2Jb\n")


def test_ctrl_c_stops_an_answer_and_not_the_prompt(model, monkeypatch, capsys):
    speaker = Speaker(speaking.load(model), decoding=Decoding(12))
    plain = speaker.say

    def say(text, write):
        if text == "slow":
            raise KeyboardInterrupt
        return plain(text, write)

    speaker.say = say
    monkeypatch.setattr(generate, "_lines", lambda: iter(["slow", "apples", ":quit", "never"]))
    generate._converse(speaker, quiet=True)
    out, err = capsys.readouterr()
    assert out == f"\n{expected(model, 'apples')}\n" and err == "stopped\n"


def test_a_reader_that_leaves_early_is_no_error(model, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "lingualift_ds.cli.main", "generate", "--model", str(model), "apples"]
    done = subprocess.run([*command, "--max-new-tokens", "4"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 0 and "Error" not in done.stderr
