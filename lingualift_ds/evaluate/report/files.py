"""The report's files in a folder, each whole or not at all, and none of an earlier report left beside them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lingualift_ds.data.atomic import AtomicFile
from lingualift_ds.errors import ConfigError, DataError
from lingualift_ds.evaluate.report.comparison import TaskComparison
from lingualift_ds.evaluate.report.csv_files import deltas_csv, means_csv, results_csv
from lingualift_ds.evaluate.report.page import GENERATOR, to_html
from lingualift_ds.evaluate.report.pictures import accuracy_png, fertility_png
from lingualift_ds.evaluate.report.results import Results
from lingualift_ds.evaluate.report.table import to_markdown
from lingualift_ds.log import get_logger

PAGE = "report.html"
NAMES = (PAGE, "report.md", "results.csv", "means.csv", "deltas.csv", "accuracy.png", "fertility.png")
_logger = get_logger(__name__)


def check_output(folder: Path, page: str = PAGE, names: Iterable[str] = NAMES) -> None:
    """Make sure that files of these names are an earlier report's, as its `page` shows. Raises DataError where not."""
    there = [name for name in names if (folder / name).exists()]
    if there and not _is_page(folder / page):
        raise DataError(f"{folder / there[0]}: is there and no report of this command; name another --output")


def write_report(results: Sequence[Results], comparisons: Sequence[TaskComparison], folder: Path) -> list[Path]:
    """Write all files into `folder`, which is made where it is missing, and return their paths.

    Without matplotlib the pictures are left out, and it is said; the page draws for itself.

    Raises:
        DataError: as `check_output`, and where the file system refuses.
    """
    check_output(folder)
    files: dict[str, bytes] = {
        "report.md": to_markdown(results, comparisons).encode(),
        "results.csv": results_csv(comparisons).encode(),
        "means.csv": means_csv(comparisons).encode(),
        PAGE: to_html(results, comparisons).encode(),
    }
    if any(comparison.others for comparison in comparisons):
        files["deltas.csv"] = deltas_csv(comparisons).encode()
    try:
        files |= _pictures(comparisons, {one.name: number for number, one in enumerate(results)})
    except ConfigError as error:
        _logger.warning(f"no accuracy.png and fertility.png: {error}")
    return replace_files(folder, files, NAMES)


def replace_files(folder: Path, files: Mapping[str, bytes], names: Iterable[str]) -> list[Path]:
    """Write `files`, remove others of `names`, and return the paths of what is there, in the order of `names`.

    Raises:
        DataError: where the file system refuses.
    """
    for name in names:
        if name in files:
            with AtomicFile(folder / name) as file:
                file.write(files[name])
                file.commit()
        else:
            with suppress(FileNotFoundError):
                (folder / name).unlink()
    return [folder / name for name in names if name in files]


def _pictures(comparisons: Sequence[TaskComparison], numbers: Mapping[str, int]) -> dict[str, bytes]:
    fertility = fertility_png(comparisons, numbers)
    return {"accuracy.png": accuracy_png(comparisons, numbers)} | ({"fertility.png": fertility} if fertility else {})


def _is_page(path: Path) -> bool:
    try:
        return GENERATOR.encode() in path.read_bytes()[:2000]
    except OSError:
        return False
