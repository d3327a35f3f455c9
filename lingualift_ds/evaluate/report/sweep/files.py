"""The files of a sweep's report in a folder: sweep.html, sweep.md, sweep.csv, and a PNG a figure and task."""

from collections.abc import Sequence
from pathlib import Path

from lingualift_ds.errors import ConfigError
from lingualift_ds.evaluate.report.files import check_output, replace_files
from lingualift_ds.evaluate.report.sweep.comparison import TaskSweep
from lingualift_ds.evaluate.report.sweep.csv_file import sweep_csv
from lingualift_ds.evaluate.report.sweep.figures import Picture, draw_figures
from lingualift_ds.evaluate.report.sweep.page import picture_files, to_html
from lingualift_ds.evaluate.report.sweep.reading import Sweep
from lingualift_ds.evaluate.report.sweep.table import to_markdown
from lingualift_ds.log import get_logger

PAGE = "sweep.html"
TEXTS = (PAGE, "sweep.md", "sweep.csv")
_logger = get_logger(__name__)


def write_sweep(sweep: Sweep, comparisons: Sequence[TaskSweep], command: str, folder: Path) -> list[Path]:
    """Write all files into `folder` and return their paths; pictures of an earlier report go.

    Without matplotlib the pictures are left out, and it is said.

    Raises:
        DataError: for files of these names that are no report's, and where the file system refuses.
    """
    pictures: list[Picture] = []
    try:
        pictures = draw_figures(sweep, comparisons)
    except ConfigError as error:
        _logger.warning(f"no figures: {error}")
    files = {
        PAGE: to_html(sweep, comparisons, command, pictures).encode(),
        "sweep.md": to_markdown(
            sweep, comparisons, command, [(one.task, one.title, one.file) for one in pictures]
        ).encode(),
        "sweep.csv": sweep_csv(sweep, comparisons).encode(),
        **{one.file: one.png for one in pictures},
    }
    check_output(folder, PAGE, files)
    try:
        earlier = picture_files((folder / PAGE).read_text(encoding="utf-8"))
    except OSError:
        earlier = []
    return replace_files(folder, files, dict.fromkeys((*files, *earlier)))
