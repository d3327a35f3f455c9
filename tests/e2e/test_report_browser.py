"""The report's page in a real browser: opened from the disk, without a complaint, with its plots to be seen."""

import os
import re
import shutil
import subprocess

import pytest
from results_folders import LEVEL_OF, make_results

from lingualift_ds.evaluate.report.comparison import compare
from lingualift_ds.evaluate.report.page import to_html
from lingualift_ds.evaluate.report.results import read_results

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
OUTPUTS = ["<script>document.title = 'taken'</script><img src='http://example.org/x.png'>", "y" * 3000]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="neither chromium-headless-shell nor chromium is installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of three models and 48 languages, in a folder whose name needs escaping."""
    folder = tmp_path_factory.mktemp("a report & more")
    results = []
    for seed, (name, share) in enumerate((("base", 0.3), ("ours", 0.6), ("other", 0.2))):
        right = {code: share + 0.3 * (level == "high") for code, level in LEVEL_OF.items()}
        results.append(read_results(make_results(folder / name, name, right, 10, seed, outputs=OUTPUTS)))
    path = folder / "report.html"
    path.write_text(to_html(results, compare(results)), encoding="utf-8")
    return path


def browse(page, *options: str) -> tuple[str, str]:
    """What the browser gave and what it logged. It starts without a network, a profile or a GPU."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--proxy-server=127.0.0.1:9", f"--user-data-dir={page.parent / 'profile'}", "--enable-logging=stderr", "--v=0",
        *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(page.parent)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


def test_the_page_opens_from_the_disk_without_a_complaint(page):
    dom, log = browse(page, "--dump-dom")
    assert not [line for line in log.splitlines() if "CONSOLE" in line]
    assert "<title>Results: base, ours, other</title>" in dom  # no output's script has run
    assert dom.count('<svg class="scatter"') == 3
    assert len(re.findall('<use href="#marker-1"', dom)) >= 2 * len(LEVEL_OF)


def test_the_browser_would_say_it_if_something_were_wrong(page):
    broken = page.with_name("broken.html")
    broken.write_text(
        page.read_text(encoding="utf-8").replace("</main>", "<script>1</script></main>"), encoding="utf-8"
    )
    log = browse(broken, "--dump-dom")[1]
    assert [line for line in log.splitlines() if "CONSOLE" in line and "script" in line]


@pytest.mark.parametrize("width, scheme", [(1280, 1), (1280, 0), (400, 1)])
def test_every_models_marks_are_seen(page, width, scheme):
    """At a screen's and a phone's width, in light and dark."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    picture = page.with_name(f"{width}-{scheme}.png")
    options = (f"--window-size={width},4000", f"--blink-settings=preferredColorScheme={scheme}")
    browse(page, f"--screenshot={picture}", *options)
    pixels = (imread(picture)[:, :, :3] * 255).round().astype(int)
    assert pixels.shape[:2] == (4000, width)
    ground = pixels[-1, 0]
    assert (ground.min() > 240) if scheme else (ground.max() < 40)
    for colour in ((0, 114, 178), (230, 159, 0), (0, 158, 115)):
        seen = (pixels == colour).all(axis=2)
        assert seen.sum() > 1000, colour
        assert seen.any(axis=0).sum() > 60, colour  # spread over a plot, not the key alone
