"""Prepared samples, cached by content: tokenised by the first process that needs them, mapped by all others.

CACHE/<16 hex digits of the key>/ holds one set of samples. The key is a hash over everything that decides what the
samples are: the files' bytes, which of their rows, both tokenizers, lengths, layout, prompt, and the code that makes
samples of rows; of rows that are code-switched also lexicons, settings, seed and epoch. A folder is written aside and
renamed, so it is whole or it is not there. No collective is involved: processes meet at a lock of the file system
(data/lock.py).
"""

import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from transformers import PreTrainedTokenizerBase

from lingualift_ds.config import layout
from lingualift_ds.data import jsonl, languages, prepared, records, tokenize
from lingualift_ds.data import rows as row_sets
from lingualift_ds.data.lock import Note, turn
from lingualift_ds.data.prepared import DamagedStore, EpochSamples, PreparedSamples, SampleWriter
from lingualift_ds.data.rows import Content, RowSet, SwitchedRows
from lingualift_ds.data.tokenize import SampleTokenizer
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.log import Progress, duration, get_logger

logger = get_logger(__name__)

_CODE = (jsonl, languages, layout, prepared, records, row_sets, tokenize)
"""Modules that decide what a row becomes: with any of them changed, no older folder is found."""
_HOW_IT_WAS_LOADED = ("is_local", "local_files_only", "name_or_path")
"""What transformers notes in a tokenizer's config, and says nothing of the tokenizer."""


def prepared_samples(rows: RowSet, tokenizer: SampleTokenizer, cache: Path) -> PreparedSamples:
    """The samples of these rows: mapped where they are prepared, else tokenised once, whoever asks at the same time.

    What was dropped or shortened is said each time. Raises DataError: unreadable rows, a repeated id, or no usable
    row at all; ConfigError where `cache` cannot be written.
    """
    contents = rows.contents()
    return _find(rows, tokenizer, cache, contents, _describe(rows, tokenizer, contents))


def samples_by_epoch(rows: SwitchedRows, tokenizer: SampleTokenizer, cache: Path) -> EpochSamples:
    """The samples of these rows as of every epoch, each set mapped or tokenised (see `prepared_samples`, also for what
    is raised) when it is first asked for; that of epoch 0 at once."""
    contents = rows.contents()
    described = _describe(rows, tokenizer, contents)  # hashes files and tokenizers, which are those of every epoch

    def make(epoch: int) -> PreparedSamples:
        of_epoch = replace(rows, epoch=epoch)
        return _find(of_epoch, tokenizer, cache, contents, described | of_epoch.described())

    return EpochSamples(make)


def _find(
    rows: RowSet, tokenizer: SampleTokenizer, cache: Path, contents: list[Content], described: dict
) -> PreparedSamples:
    """The samples that are described so, mapped or tokenised."""
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    folder = cache / key[:16]
    samples = _mapped(folder, key)
    if samples is None:
        samples = _build(folder, key, described, rows, tokenizer, contents)
    else:
        logger.info("%s: %s samples were prepared already, in %s", rows, f"{len(samples):,}", folder)
        _say_dropped(rows, samples.dropped)
    return samples


def _build(
    folder: Path,
    key: str,
    described: dict,
    rows: RowSet,
    tokenizer: SampleTokenizer,
    contents: list[Content],
) -> PreparedSamples:
    """Tokenise into `folder`, unless another process did while this one waited for its turn."""
    with ExitStack() as stack:
        with _writing(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            note = stack.enter_context(turn(folder.parent / f".{folder.name}.lock", "the data"))
        samples = _mapped(folder, key, say=True)
        if samples is not None:
            _say_dropped(rows, samples.dropped)
            return samples
        started = time.monotonic()
        mine = f".{folder.name}.{socket.gethostname()}."
        if note is not None:
            # Ours is the turn, so on this host no one is at work in these: they are of builders that were killed.
            for left in folder.parent.glob(f"{mine}*"):
                shutil.rmtree(left, ignore_errors=True)
        with _writing(folder.parent):
            aside = folder.parent / f"{mine}{os.getpid()}.{time.time_ns()}"
            aside.mkdir()
        try:
            _tokenise(aside, {"key": key, **described}, rows, tokenizer, rows.count(contents), note)
            for content in contents:
                content.check_unchanged()
            with _writing(folder.parent):
                samples = _put_in_place(aside, folder, key)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    took = duration(time.monotonic() - started)
    logger.info("%s: %s samples prepared in %s, in %s", rows, f"{len(samples):,}", took, folder)
    return samples


def _tokenise(
    aside: Path, facts: dict, rows: RowSet, tokenizer: SampleTokenizer, count: int, note: Note | None
) -> None:
    dropped: Counter = Counter()
    with _writing(aside.parent):
        writer = SampleWriter(aside)
    try:
        with Progress("tokenise", total=count, unit="rows") as progress:
            for sample in tokenizer.samples(rows.records(lambda: _say_done(progress, note), dropped), dropped):
                with _writing(aside.parent):
                    writer.add(sample)
                if writer.rows == rows.most:
                    break
        _say_dropped(rows, dropped)
        if not writer.rows:
            why = dict(dropped) or "there are none"
            raise DataError(f"{rows}: no usable row: {why}; {rows.needs}")
        with _writing(aside.parent):
            repeated = writer.repeated_ids()
        if repeated:
            raise DataError(f"{rows}: id {repeated[0]!r} is given to more than one row ({len(repeated)} such ids)")
        with _writing(aside.parent):
            writer.finish(facts, dropped)
    finally:
        with suppress(OSError):  # after an error of its own; `finish` has closed it otherwise
            writer.close()


def _say_done(progress: Progress, note: Note | None) -> None:
    """Another row was read: say so on the progress line, and to those who wait."""
    progress.advance()
    if note is not None:
        note.write(f"{progress.done:,} of {progress.total:,} rows")


def _mapped(folder: Path, key: str, say: bool = False) -> PreparedSamples | None:
    """The samples in `folder`; None where there are none, or none that can be used."""
    if not folder.is_dir():
        return None
    try:
        samples = PreparedSamples(folder)
        if samples.facts.get("key") != key:
            raise DamagedStore("holds samples of another key")
    except DamagedStore as error:
        if say:
            logger.warning("%s: %s; it is prepared again", folder, error)
        return None
    return samples


def _put_in_place(aside: Path, folder: Path, key: str) -> PreparedSamples:
    """Rename `aside` to `folder`; where a whole one is there by now, that one serves."""
    if folder.is_dir() and _mapped(folder, key) is None:
        damaged = aside.with_name(f"{aside.name}.damaged")
        os.rename(folder, damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        os.rename(aside, folder)
    except OSError:
        samples = _mapped(folder, key)
        if samples is None:
            raise
        return samples
    return PreparedSamples(folder, built=True)


def _say_dropped(rows: RowSet, dropped: dict[str, int]) -> None:
    for reason, count in sorted(dropped.items()):
        logger.warning("%s: %d rows %s", rows, count, reason)


# What the key is made of


def _describe(rows: RowSet, tokenizer: SampleTokenizer, contents: list[Content]) -> dict:
    """Everything that decides what the samples are, as JSON holds it."""
    files = [path for module in (*_CODE, *rows.code) for path in _files_of(module)]
    return {
        "files": [content.sha256 for content in contents],
        # A row without an id is named after its file; among several files every row is.
        "names": list(rows.paths) if len(rows.paths) > 1 else [Path(p).name for p in rows.paths],
        **rows.described(),
        "llm": tokenizer_digest(tokenizer.llm),
        "llm_max_tokens": tokenizer.llm_max_tokens,
        "encoder": None if tokenizer.encoder is None else tokenizer_digest(tokenizer.encoder),
        "encoder_max_tokens": tokenizer.encoder_max_tokens,
        "layout": None if tokenizer.layout is None else asdict(tokenizer.layout),
        "whitespace_rows": {str(i): row for i, row in tokenizer.row_of.items()},
        "prompt": tokenizer.parts,
        "encoder_input": tokenizer.encoder_input,
        "llm_input": tokenizer.llm_input,
        "versions": {name: version(name) for name in ("transformers", "tokenizers", *rows.libraries)},
        "code": hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest(),
    }


def _files_of(module: ModuleType) -> list[Path]:
    """The source of a module, or of all modules of a package."""
    path = Path(module.__file__)
    return sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over what a tokenizer does with a text: its vocabulary, rules and special tokens; not where it lies."""
    digest = hashlib.sha256()
    special = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    digest.update(f"{type(tokenizer).__name__} {special}\n".encode())
    if tokenizer.is_fast:
        core = tokenizer.backend_tokenizer
        # Each call of transformers sets these anew: left over from the last call, they mean nothing.
        core.no_truncation()
        core.no_padding()
        digest.update(f"{core.encode_special_tokens}\n{core.to_str()}".encode())
        return digest.hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in sorted(Path(folder).iterdir()):
            content = path.read_bytes()
            if path.name == "tokenizer_config.json":
                told = {k: v for k, v in json.loads(content).items() if v is not None and k not in _HOW_IT_WAS_LOADED}
                content = json.dumps(told, sort_keys=True).encode()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """What the file system refuses becomes a ConfigError that names the key."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"run.cache: {cache}: cannot be written: {error.strerror or error}") from None
