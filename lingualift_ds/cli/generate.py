"""`lingualift-ds generate`: ask a trained model: one question, a file of them, or one after another at a prompt.

lingualift-ds generate --model runs/NAME "Ana ana tufaha 3 na ananunua 4. Ana tufaha ngapi?"
lingualift-ds generate --model runs/NAME --input questions.txt --output answers.jsonl
lingualift-ds generate --model runs/NAME
"""

import argparse
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lingualift_ds.cli.errors import leaving_when_told
from lingualift_ds.cli.preview import uses_colour
from lingualift_ds.data.atomic import AtomicFile
from lingualift_ds.data.codeswitch.marked import visible
from lingualift_ds.data.jsonl import encode_line
from lingualift_ds.data.languages import language_name
from lingualift_ds.data.sources import Bad, Row, open_source
from lingualift_ds.errors import ConfigError, DataError, UserError
from lingualift_ds.log import Progress, get_logger

if TYPE_CHECKING:
    from lingualift_ds.evaluate.speaking import Asked, Said, Speaker

_logger = get_logger("generate")

_AT_THE_PROMPT = ":instruction TEXT changes what the LLM is told, :instruction tells it, :quit or Ctrl-D leaves"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `generate`."""
    parser = subparsers.add_parser(
        "generate",
        help="ask a trained model a question, a file of them, or at a prompt",
        description="Ask a trained model. Without QUESTION and --input, questions are read at a prompt, or one from "
        "what is piped in. Answers go to standard output, what is said of them to standard error.",
    )
    parser.add_argument(
        "question", nargs="?", metavar="QUESTION", help="in any language the encoder knows; -: piped in"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--model", required=True, metavar="DIR", help="an exported model, a run, or a stage of it")
    for role in ("encoder", "llm"):
        model.add_argument(
            f"--{role}", metavar="M", help=f"where the base {role} is now, for a stage that left no whole model"
        )
    model.add_argument("--instruction", metavar="TEXT", help="what the LLM is told; without it, its training's")
    model.add_argument("--language", metavar="CODE", help="fills {language} in the instruction")
    files = parser.add_argument_group("many questions")
    files.add_argument("--input", metavar="F", help="text, a question a line, or JSON lines, CSV, Parquet")
    files.add_argument("--output", type=Path, metavar="F", help="answers as JSON lines")
    files.add_argument("--batch-size", type=int, default=32, metavar="N", help="questions at a time (32)")
    how = parser.add_argument_group("answers")
    how.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (256)")
    how.add_argument("--beams", type=int, default=1, metavar="N", help="beam search; 1 is greedy (1)")
    how.add_argument("--sample", action="store_true", help="draw tokens at random instead")
    how.add_argument("--temperature", type=float, metavar="T", help="of sampling (1.0)")
    how.add_argument("--top-p", type=float, metavar="P", help="sample from the likeliest tokens of this share (1.0)")
    how.add_argument("--seed", type=int, metavar="S", help="of sampling: same seed, same answers")
    how.add_argument("--quiet", action="store_true", help="answers alone, nothing said of them")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer. Raises UserErrors, before the model is loaded where the model is not to blame."""
    problems = list(_problems(arguments))
    if problems:
        raise ConfigError(*problems)
    if arguments.input is not None:
        _answer_file(arguments)
    elif arguments.question is None and sys.stdin is not None and sys.stdin.isatty():
        _converse(_speaker(arguments), arguments.quiet)
    else:
        question = _question(arguments.question)
        with _broken_pipe_ignored():
            _say(_speaker(arguments), question, arguments.quiet)
    return 0


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    """What is wrong with the arguments by themselves."""
    for name in ("batch_size", "max_new_tokens", "beams"):
        if getattr(arguments, name) < 1:
            yield f"--{name.replace('_', '-')} {getattr(arguments, name)}: must be at least 1"
    for name in ("temperature", "top_p", "seed"):
        if getattr(arguments, name) is not None and not arguments.sample:
            yield f"--{name.replace('_', '-')}: is for --sample"
    if arguments.temperature is not None and not (arguments.temperature > 0 and math.isfinite(arguments.temperature)):
        yield f"--temperature {arguments.temperature}: must be above 0; without --sample answers are greedy"
    if arguments.top_p is not None and not 0 < arguments.top_p <= 1:
        yield f"--top-p {arguments.top_p}: must be above 0 and at most 1"
    if arguments.seed is not None and not 0 <= arguments.seed < 1 << 63:
        yield f"--seed {arguments.seed}: must be 0 or more, and fit 63 bits"
    if arguments.question is not None and arguments.input is not None:
        yield "a question and --input: one of them is allowed"
    if (arguments.input is None) != (arguments.output is None):
        given, needed = ("--input", "--output") if arguments.output is None else ("--output", "--input")
        yield f"{given}: needs {needed} F too"
    for name in ("instruction", "language"):
        value = getattr(arguments, name)
        if value is not None and (not value.strip() or not _is_utf8(value)):
            yield f"--{name} {visible(value)!r}: is blank or not UTF-8"
        elif value is not None and name == "language":
            try:
                language_name(value)
            except DataError as error:
                yield f"--language: {error}"


def _question(given: str | None) -> str:
    """The question of the command line, or what is piped in, whole. Raises DataError."""
    if given is None or given == "-":
        if sys.stdin is None:
            raise DataError("no question: standard input is closed")
        try:
            given = sys.stdin.buffer.read().decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"standard input: not UTF-8 (byte 0x{error.object[error.start]:02x})") from None
        if not given:
            raise DataError("the question is empty: nothing was piped in")
    if not given.strip():
        raise DataError("the question is empty")
    if not _is_utf8(given):
        raise DataError("the question is not UTF-8")
    return given


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _speaker(arguments: argparse.Namespace) -> "Speaker":
    from lingualift_ds.evaluate.speaking import Decoding, Speaker, load

    drawn = {name: getattr(arguments, name) for name in ("temperature", "top_p", "seed")}
    decoding = Decoding(
        arguments.max_new_tokens,
        arguments.beams,
        arguments.sample,
        **{name: value for name, value in drawn.items() if value is not None},
    )
    model = load(arguments.model, arguments.encoder, arguments.llm)
    speaker = Speaker(model, arguments.instruction, decoding, arguments.language)
    if arguments.language is not None and not speaker.names_language:
        raise ConfigError(f"--language: the instruction has no {{language}} to fill: {speaker.instruction!r}")
    if arguments.language is None and speaker.names_language and not arguments.quiet:
        _note(f"the LLM is told {speaker.told!r}; --language CODE would name the language")
    return speaker


def _say(speaker: "Speaker", question: str, quiet: bool) -> None:
    """Ask, write the answer as it comes, and tell of it."""
    terminal = sys.stdout.isatty()

    def write(text: str) -> None:
        sys.stdout.write(visible(text) if terminal else text)
        sys.stdout.flush()

    said = speaker.say(question, write)
    write("\n")
    if not quiet:
        _note(describe(said))
        for warning in warnings_of(said.asked):
            _note(f"warning: {warning}", "\x1b[33m")


def describe(said: "Said") -> str:
    """A line on a question and its answer: language, tokens, speed, whether it was cut."""
    asked = said.asked
    parts = [asked.language or "?"]
    if asked.encoder_tokens is not None:
        unknown = f" ({asked.unknown} unknown)" if asked.unknown else ""
        parts.append(f"{asked.encoder_tokens} encoder tokens{unknown}")
    parts += [f"{asked.positions} prompt positions", f"{said.tokens} new tokens"]
    parts.append(f"{said.tokens / max(said.seconds, 1e-9):.1f} tokens/s")
    return ", ".join(parts if said.finished else [*parts, "cut before its end"])


def warnings_of(asked: "Asked") -> Iterator[str]:
    """What makes an answer to this question doubtful."""
    if asked.hardly_known:
        yield f"the encoder does not know {asked.unknown} of its {asked.encoder_tokens} tokens"
    if asked.shortened:
        yield "the question is longer than the model was trained on; its end was left out"


def _converse(speaker: "Speaker", quiet: bool) -> None:
    """Questions one after another, until there are no more."""
    with suppress(ImportError):
        import readline  # noqa: F401  (editing and history of input())
    if not quiet:
        _note(f"told: {speaker.told}\n{_AT_THE_PROMPT}")
    for line in _lines():
        word, _, rest = line.partition(" ")
        try:
            if word == ":quit":
                return
            if word == ":instruction":
                speaker.instruction = rest.strip() or speaker.instruction
                _note(f"told: {speaker.told}")
            elif word.startswith(":"):
                raise DataError(f"{word}: no such command; {_AT_THE_PROMPT}")
            else:
                _say(speaker, _question(line), quiet)
        except UserError as error:
            sys.stderr.write(f"error: {error}\n")
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            _note("stopped")


def _lines() -> Iterator[str]:
    """Lines typed at the prompt, blank ones left out. The prompt goes where it does not mix with answers."""
    while True:
        try:
            if sys.stdout.isatty():
                line = input("> ")
            else:
                sys.stderr.write("> ")
                sys.stderr.flush()
                line = input()
        except EOFError:
            sys.stderr.write("\n")
            return
        except UnicodeDecodeError:
            sys.stderr.write("error: the question is not UTF-8\n")
            continue
        if line.strip():
            yield line.strip()


def _answer_file(arguments: argparse.Namespace) -> None:
    """Answer every question of a file, in its order, into another file that appears when it is whole."""
    rows, blank = read_questions(arguments.input, arguments.output)
    with leaving_when_told(), AtomicFile(arguments.output) as file:
        speaker = _speaker(arguments)
        questions = [speaker.ask(row.text, f"{row.where}: the question") for row in rows]
        said: dict[int, Said] = {}
        with Progress("generate", len(rows), "questions") as progress:
            for index, one in speaker.answer(questions, arguments.batch_size):
                said[index] = one
                if not arguments.quiet:
                    progress.advance()
        for index, row in enumerate(rows):
            file.write(encode_line(_record(row, said[index])))
        file.commit()
    if not arguments.quiet:
        for line in summary(list(said.values()), blank):
            _note(line)


def read_questions(path: str, output: Path) -> tuple[list[Row], int]:
    """The questions of a file, and how many blank rows there are between them. Raises DataError for a row that
    cannot be used, and for a file without a question; ConfigError where it would be written over."""
    source = open_source([path])
    if output.exists() and any(output.samefile(file) for file in source.files):
        raise ConfigError(f"--output {output}: is the input too")
    rows = [row for block in source.blocks() for row in block.rows()]
    bad = next((row for row in rows if isinstance(row, Bad)), None)
    if bad is not None:
        raise DataError(f"{bad.where}: {bad.message}")
    questions = [row for row in rows if row.text.strip()]
    if not questions:
        raise DataError(f"{path}: holds no question; all its rows are blank")
    return questions, len(rows) - len(questions)


def _record(row: Row, said: "Said") -> dict:
    return {
        "id": row.id,
        "text": row.text,
        "answer": said.text,
        "language": said.asked.code,
        "encoder_tokens": said.asked.encoder_tokens,
        "new_tokens": said.tokens,
        "finished": said.finished,
    }


def summary(said: list["Said"], blank: int) -> Iterator[str]:
    """What there is to say of all answers together."""
    yield f"{len(said)} answers, {sum(one.tokens for one in said)} new tokens"
    cut = sum(not one.finished for one in said)
    unknown = sum(one.asked.hardly_known for one in said)
    shortened = sum(one.asked.shortened for one in said)
    told = {
        "were cut before their end": cut,
        "are answers to a question of which the encoder does not know many tokens": unknown,
        "are answers to a question longer than the model was trained on: its end was left out": shortened,
    }
    yield from (f"{count} {what}" for what, count in told.items() if count)
    if blank:
        yield f"{blank} blank rows hold no question and have no answer"


def _note(text: str, start: str = "\x1b[2m") -> None:
    """Say something beside the answers."""
    colour = uses_colour(sys.stderr)
    sys.stderr.write(f"{start}{text}\x1b[0m\n" if colour else f"{text}\n")
    sys.stderr.flush()


@contextmanager
def _broken_pipe_ignored() -> Iterator[None]:
    """`| head` has seen enough: nothing more is written, and the exit code is 0."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
