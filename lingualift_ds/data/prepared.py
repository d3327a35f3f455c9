"""Samples as training reads them: one by one as rows, and their lengths and languages as arrays over all rows.

`PreparedSamples` maps a folder that was written once (data/cache.py decides when): opening it touches no row, however
many there are. `SampleList` is the same over a list in memory; `EpochSamples` has a set for every epoch. A folder
holds `data.arrow`, an Arrow IPC file, and `prepared.json`, which says what must be in it.
"""

import hashlib
import json
import operator
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lingualift_ds.data.tokenize import Sample

DATA, FACTS = "data.arrow", "prepared.json"
_BATCH = 4096
"""Rows of one Arrow batch; all but the last have as many, so that a row's batch is a division."""
_TOKENS = ("encoder_ids", "prompt_ids", "target_ids")
_NUMBERS = ("language", "soft_rows", "soft_at", "llm_length", "encoder_length", "target_length")


class Samples(Sequence[Sample], ABC):
    """Samples in order. The arrays have one entry a sample and are not to be written to.

    Attributes:
        llm_lengths: positions in the LLM, soft prompt included, int32.
        encoder_lengths: tokens of the encoder's text, int32; 0 without an encoder.
        target_lengths: tokens of the target, int32.
        languages: codes of the languages, text.
        dropped: rows that were left out or shortened, by reason.
    """

    llm_lengths: np.ndarray
    encoder_lengths: np.ndarray
    target_lengths: np.ndarray
    languages: np.ndarray
    dropped: Mapping[str, int]

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 over ids and tokens in order, in hex: tells one training set from another."""

    def of(self, epoch: int) -> "Samples":
        """The samples of an epoch: these, where all epochs have the same."""
        return self

    def __len__(self) -> int:
        return len(self.llm_lengths)


class SampleList(Samples):
    """Samples in memory."""

    def __init__(self, samples: Iterable[Sample], dropped: Mapping[str, int] | None = None):
        self._samples = list(samples)
        self.dropped = dict(dropped or {})
        self.languages = np.array([s.language for s in self._samples], dtype=object)
        self.llm_lengths = _int32([s.llm_length for s in self._samples])
        self.encoder_lengths = _int32([len(s.encoder_ids) for s in self._samples])
        self.target_lengths = _int32([len(s.target_ids) for s in self._samples])

    def __getitem__(self, index: int) -> Sample:
        return self._samples[operator.index(index)]

    @property
    def digest(self) -> str:
        """SHA-256 over ids and tokens in order."""
        digest = hashlib.sha256()
        for sample in self._samples:
            _add_to_digest(digest, sample)
        return digest.hexdigest()


class EpochSamples(Samples):
    """Samples that every epoch has anew: `make` gives the set of an epoch, and is called once for each that is asked
    for. Read as one set they are those of epoch 0.

    Attributes:
        sets: those made so far, by epoch.
    """

    def __init__(self, make: Callable[[int], Samples]):
        self._make = make
        self.sets: dict[int, Samples] = {}
        first = self.of(0)
        self.llm_lengths, self.dropped = first.llm_lengths, first.dropped
        self.encoder_lengths, self.target_lengths = first.encoder_lengths, first.target_lengths

    def of(self, epoch: int) -> Samples:
        """The samples of an epoch; how many there are may differ from epoch to epoch."""
        if epoch not in self.sets:
            self.sets[epoch] = self._make(epoch)
        return self.sets[epoch]

    @property
    def languages(self) -> np.ndarray:
        """Codes of the languages."""
        return self.sets[0].languages

    @property
    def digest(self) -> str:
        """That of epoch 0; the other epochs follow from the same rows and lexicons."""
        return self.sets[0].digest

    def __getitem__(self, index: int) -> Sample:
        return self.sets[0][index]


class DamagedStore(Exception):
    """A folder of prepared samples that is not as it was written; the message says how."""


class PreparedSamples(Samples):
    """Samples of a folder that `SampleWriter` wrote, mapped into memory. Tokens are read-only views of the file.

    `built` says whether this process has just written them. Raises DamagedStore where a file is missing, unreadable
    or not of the size it was written with.
    """

    def __init__(self, folder: Path, built: bool = False):
        self.folder, self.built = folder, built
        self.facts = _read_facts(folder)
        self.dropped: Mapping[str, int] = self.facts["dropped"]
        import pyarrow as pa  # 0.25 s that only those who map samples should wait for

        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(folder / DATA)))
            numbers = self._reader.read_all().select(_NUMBERS)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DamagedStore(f"{DATA} cannot be read ({' '.join(str(error).split())})") from None
        if numbers.num_rows != self.facts["rows"]:
            raise DamagedStore(f"{DATA} has {numbers.num_rows} rows, {FACTS} says {self.facts['rows']}")
        columns = {name: _view(numbers[name].combine_chunks()) for name in _NUMBERS}
        self._soft_rows, self._soft_at = columns["soft_rows"], columns["soft_at"]
        self.llm_lengths = columns["llm_length"]
        self.encoder_lengths, self.target_lengths = columns["encoder_length"], columns["target_length"]
        # Of objects, not of fixed width: the array holds references to a few names, however long one is.
        self._names, self._language = np.array(self.facts["languages"], dtype=object), columns["language"]
        self._batches: dict[int, tuple[Any, list[tuple[np.ndarray, np.ndarray]]]] = {}

    @cached_property
    def languages(self) -> np.ndarray:
        """Codes of the languages. Made when first asked for: of many sets, few are."""
        return self._names[self._language]

    @property
    def digest(self) -> str:
        """SHA-256 over ids and tokens in order, as computed when they were written."""
        return self.facts["digest"]

    def __getitem__(self, index: int) -> Sample:
        index = operator.index(index)
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number, row = divmod(index, _BATCH)
        if number not in self._batches:
            self._batches[number] = self._views(number)
        ids, tokens = self._batches[number]
        encoder, prompt, target = (values[offsets[row] : offsets[row + 1]] for offsets, values in tokens)
        soft = int(self._soft_rows[index]), None if (at := int(self._soft_at[index])) < 0 else at
        return Sample(ids[row].as_py(), self._names[self._language[index]], encoder, prompt, target, *soft)

    def _views(self, number: int) -> tuple[Any, list[tuple[np.ndarray, np.ndarray]]]:
        """The ids of one batch, and of each kind of tokens (offsets, values): views of the file."""
        batch = self._reader.get_batch(number)
        columns = [batch.column(name) for name in _TOKENS]
        return batch.column("id"), [(_view(c.offsets), _view(c.values)) for c in columns]


class SampleWriter:
    """Writes samples into a folder as they come, a batch at a time: memory does not grow with their number.

    `finish` writes what is left and prepared.json; a folder without that file holds nothing.
    """

    def __init__(self, folder: Path):
        import pyarrow as pa

        self.folder, self.rows = folder, 0
        self._pending: list[Sample] = []
        self._codes: dict[str, int] = {}
        self._digest = hashlib.sha256()
        lists = {name: pa.list_(pa.int32()) for name in _TOKENS}
        self._schema = pa.schema({"id": pa.string(), **{name: pa.int32() for name in _NUMBERS}, **lists})
        self._writer = pa.ipc.new_file(str(folder / DATA), self._schema)
        self._hashes = (folder / "hashes").open("w+b")
        self._open = True

    def add(self, sample: Sample) -> None:
        """Take one sample."""
        self._pending.append(sample)
        self.rows += 1
        _add_to_digest(self._digest, sample)
        if len(self._pending) == _BATCH:
            self._write()

    def finish(self, facts: Mapping[str, Any], dropped: Mapping[str, int]) -> None:
        """Write the rest, force it to disk, and say in prepared.json what there is; `facts` go there as they are."""
        self._write()
        self.close()
        (self.folder / "hashes").unlink()
        size = _synced(self.folder / DATA)
        found = {
            **facts,
            "rows": self.rows,
            "size": size,
            "digest": self._digest.hexdigest(),
            "languages": list(self._codes),
            "dropped": dict(sorted(dropped.items())),
        }
        (self.folder / FACTS).write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
        _synced(self.folder / FACTS)

    def close(self) -> None:
        """Close the files, finished or not."""
        if self._open:
            self._writer.close()
            self._hashes.close()
        self._open = False

    def repeated_ids(self) -> list[str]:
        """Ids of more than one sample, in the order of their first use. Call it before `finish`."""
        self._write()
        self._hashes.flush()
        if self.rows < 2:
            return []
        # 64 bits an id, sorted in the file: ids themselves are looked at only where two hashes are the same.
        hashes = np.memmap(self._hashes, dtype=np.int64, mode="r+")
        hashes.sort()
        same = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        del hashes
        if not same:
            return []
        self.close()
        import pyarrow as pa

        counts: Counter = Counter()
        reader = pa.ipc.open_file(pa.memory_map(str(self.folder / DATA)))
        for number in range(reader.num_record_batches):
            counts.update(i for i in reader.get_batch(number).column("id").to_pylist() if hash(i) in same)
        return [i for i, n in counts.items() if n > 1]

    def _write(self) -> None:
        if not self._pending:
            return
        import pyarrow as pa

        samples, self._pending = self._pending, []
        numbers = {
            "language": [self._codes.setdefault(s.language, len(self._codes)) for s in samples],
            "soft_rows": [s.soft_rows for s in samples],
            "soft_at": [-1 if s.soft_at is None else s.soft_at for s in samples],
            "llm_length": [s.llm_length for s in samples],
            "encoder_length": [len(s.encoder_ids) for s in samples],
            "target_length": [len(s.target_ids) for s in samples],
        }
        columns = [pa.array([s.id for s in samples], pa.string())]
        columns += [pa.array(_int32(numbers[name])) for name in _NUMBERS]
        for name in _TOKENS:
            tokens = [getattr(s, name) for s in samples]
            offsets = np.cumsum([0, *map(len, tokens)], dtype=np.int32)
            columns.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(_int32(np.concatenate(tokens)))))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        # Python's own hash of text: it serves this process alone, and is free.
        np.array([hash(s.id) for s in samples], dtype=np.int64).tofile(self._hashes)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        size, needed = facts["size"], ("rows", "digest", "languages", "dropped")
        if any(name not in facts for name in needed):
            raise ValueError("it lacks a key")
    except FileNotFoundError:
        raise DamagedStore(f"{FACTS} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedStore(f"{FACTS} cannot be read ({error})") from None
    data = folder / DATA
    if not data.is_file():
        raise DamagedStore(f"{DATA} is missing")
    if data.stat().st_size != size:
        raise DamagedStore(f"{DATA} has {data.stat().st_size} bytes, {FACTS} says {size}")
    return facts


def _view(array: Any) -> np.ndarray:
    """An Arrow array of int32 without nulls as a read-only view. Its own `to_numpy` would import pandas: 0.5 s."""
    found = array.buffers()[1] if len(array) else b""
    return np.frombuffer(found, dtype=np.int32)[array.offset : array.offset + len(array)]


def _add_to_digest(digest: Any, sample: Sample) -> None:
    at = "" if sample.soft_at is None else f" {sample.soft_at}"
    digest.update(f"{sample.id} {len(sample.encoder_ids)} {len(sample.prompt_ids)}{at}\n".encode())
    for ids in (sample.encoder_ids, sample.prompt_ids, sample.target_ids):
        digest.update(ids.tobytes())


def _int32(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int32)


def _synced(path: Path) -> int:
    """The size of a file, after forcing it to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size
