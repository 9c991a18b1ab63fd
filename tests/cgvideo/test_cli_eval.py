"""`cgvideo eval` as a user types it: any two videos or pictures in, figures, a plot and a page out."""

import base64
import io
import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from commandline import Cli, assert_one_line
from PIL import Image
from textures import noisy, panned

from cgvideo.evaluation.evaluate import evaluate
from cgvideo.evaluation.film import Measured
from cgvideo.evaluation.page import Stills, charts, write_evaluation
from cgvideo.evaluation.pairing import Moment
from cgvideo.evaluation.plot import write_plot

SIZE = (192, 144)
LOSSLESS = {"crf": "0"}
FRAMES = 12


def source_frame(number, size):
    return panned(number)


def translated(number, size):
    """Half the contrast: a translation as steady as its source."""
    return (64 + panned(number) / 2).astype(np.uint8)


def flickering(number, size):
    return noisy(translated(number, size), 8, number)


def film(path, painter=source_frame, frames=FRAMES, **how):
    how = {"size": SIZE, "codec": "libx264rgb", "pixel_format": "rgb24", "options": LOSSLESS} | how
    return make_clip(path, frames, painter=painter, **how)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return (
        film(folder / "source.mkv", audio="aac"),
        film(folder / "result.mkv", translated, audio="aac"),
        film(folder / "reference.mkv", flickering, audio="aac"),
    )


def figures(here, *arguments):
    result = here("eval", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["event"] == "evaluation"
    return found, {figure["name"]: figure for figure in found["figures"]}


def test_a_steady_result_is_measured_against_a_flickering_one(here: Cli, films):
    source, result, reference = films
    found, by_name = figures(here, source, result, "--reference", reference)
    assert found["frames"] == FRAMES
    assert found["size"] == [144, 192]
    warp = by_name["E_warp"]
    assert warp["result"] == pytest.approx(warp["source"] / 4, rel=0.1)
    assert warp["reference"] > 10 * warp["result"]
    detail = by_name["coherent detail"]
    assert detail["source"] == 1
    assert detail["result"] == pytest.approx(0.5, abs=0.01)
    assert detail["reference"] == pytest.approx(0.5, abs=0.05)
    assert by_name["sharpness"]["reference"] > 2 * by_name["sharpness"]["result"]
    assert by_name["low-band PSNR"]["result"] > 40
    assert found["agreement"]["whole"]
    assert found["agreement"]["sound"] == "same"
    warps = next(each for each in found["curves"]["courses"] if each["name"] == "E_warp")
    assert warps["result"][0] is None
    assert len(warps["result"]) == len(found["curves"]["seconds"]) == FRAMES
    assert 1000 * np.mean(warps["result"][1:]) / 1000 == pytest.approx(warp["result"])


def test_the_table_says_what_is_good(here: Cli, films):
    result = here("eval", *films[:2], "--frames", "5")
    assert result.returncode == 0
    assert re.search(r"E_warp \(1e-3\) +[\d.]+ +[\d.]+ +less is better", result.stdout)
    assert "reference" not in result.stdout.splitlines()[2]
    assert "5 frames" in result.stdout
    assert "every frame at its own time" in result.stdout


def test_the_plot_is_written_where_it_is_asked_for(here: Cli, tmp_path, films):
    result = here("eval", *films[:2], "--frames", "3", "--plot", "plot.png")
    assert result.stdout.splitlines()[-1] == "plot.png"
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.format == "PNG"


def test_a_result_a_frame_late_is_told(here: Cli, tmp_path, films):
    late = film(tmp_path / "late.mkv", lambda n, size: translated(max(n - 1, 0), size))
    found, _ = figures(here, films[0], late)
    assert found["agreement"]["lag"] == 1
    assert found["agreement"]["sound"] == "missing"
    assert not found["agreement"]["whole"]


def test_other_sizes_and_rates_are_paired_by_time_and_said(here: Cli, tmp_path, films):
    other = film(
        tmp_path / "other.mp4",
        lambda n, size: translated(2 * n, size)[::2, ::2],
        frames=FRAMES // 2,
        rate=Fraction(25, 2),
        size=(96, 72),
    )
    found, by_name = figures(here, films[0], other)
    assert found["frames"] == FRAMES // 2
    assert found["agreement"]["lag"] == 0
    assert by_name["coherent detail"]["result"] > 0.1
    (notice,) = found["notices"]
    assert "96x72" in notice
    agrees = found["agreement"]
    assert (agrees["source_rate"], agrees["result_rate"]) == pytest.approx((25, 12.5), rel=1e-3)
    assert not agrees["same_times"]
    assert "12.5 frames a second" in here("eval", films[0], other, "--frames", "2").stdout


def test_it_starts_where_it_is_told(here: Cli, films):
    found, _ = figures(here, *films[:2], "--start", "0.2", "--frames", "3")
    assert found["curves"]["seconds"] == pytest.approx([0.2, 0.24, 0.28])


def test_pictures_have_the_spatial_part(here: Cli, tmp_path):
    Image.fromarray(panned(0)).save(tmp_path / "a.png")
    Image.fromarray(translated(0, SIZE)).save(tmp_path / "b.png")
    found, by_name = figures(here, "a.png", "b.png", "--html", "page.html")
    assert by_name["coherent detail"]["result"] == pytest.approx(0.5, abs=0.01)
    assert "E_warp" not in by_name
    assert found["agreement"] is None
    assert (tmp_path / "page.html").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.mp4", "none.mp4"), ("none.mp4 does not exist",)),
        (("{source}", "a.png"), ("not of one kind",)),
        (("{source}", "text.mp4"), ("text.mp4 cannot be read",)),
        (("{source}", "{source}", "--frames", "0"), ("--frames 0",)),
        (("{source}", "{source}", "--start", "-1"), ("--start -1",)),
        (("{source}", "{source}", "--start", "99"), ("no frames at the same time",)),
        (("{source}", "{source}", "--tile", "2"), ("--tile 2",)),
        (("{source}", "{source}", "--plot", "curves.jpg"), ("does not end in .png",)),
        (("{source}", "{source}", "--html", "no/where.html"), ("no is not a folder",)),
    ],
)
def test_what_cannot_be_measured_is_one_line(here: Cli, tmp_path, films, arguments, words):
    (tmp_path / "text.mp4").write_text("no video")
    Image.fromarray(panned(0)).save(tmp_path / "a.png")
    given = [each.format(source=films[0]) for each in arguments]
    assert_one_line(here("eval", *given), *words)


@pytest.fixture(scope="module")
def written(films, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    stills = Stills()
    found = evaluate(*films, look=stills.look)
    write_evaluation(path, found, stills)
    write_plot(path.with_name("plot.png"), "title", charts(found))
    return path


def test_the_plot_shows_a_curve_of_each_film(written):
    with Image.open(written.with_name("plot.png")) as plot:
        assert plot.format == "PNG"
        pixels = np.asarray(plot.convert("RGB"))[::2, ::2].astype(np.int16)
    for colour in ((0x25, 0x63, 0xC9), (0xD1, 0x62, 0x0F), (0x2A, 0x8A, 0x4A)):
        assert (np.abs(pixels - colour).sum(-1) < 30).sum() > 100


def test_the_page_needs_nothing_else(written):
    text = re.sub(r"base64,[^\"&]*", "", written.read_text(encoding="utf-8"))
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|href", text)
    assert "default-src 'none'" in text
    assert "result.mkv against source.mkv, beside reference.mkv" in text


def test_the_page_shows_the_frames_as_they_are(written):
    text = written.read_text(encoding="utf-8")
    kept = re.search(r'class="after" src="data:image/jpeg;base64,([^"]+)"', text)
    assert kept is not None
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(kept[1]))))
    assert np.abs(picture.astype(int) - translated(0, SIZE)).mean() < 3


def test_the_page_keeps_few_frames_and_the_worst_of_all():
    stills, measured = Stills(), Measured()
    for n in range(1000):
        measured.result.warp_errors.append({333: 5.0, 334: 4.0, 700: 3.0}.get(n, 1 + n / 1e4))
        pixels = np.full((8, 8, 3), n % 256, np.uint8)
        stills.look(Moment(n / 25, pixels, pixels), measured)
    numbers = [round(still.seconds * 25) for still in stills.chosen()]
    assert numbers == sorted(numbers)
    assert 16 <= len(numbers) <= 20
    assert {0, 333, 700} <= set(numbers)
    assert 334 not in numbers  # too near to one that is worse
    assert np.diff(numbers).max() <= 1000 / 14


ACTS = """
<script>
const said = {};
const note = (name) => {
  const [before, after] = document.querySelectorAll(".stage img");
  said[name] = {
    split: getComputedStyle(after).clipPath, loaded: before.naturalWidth * after.naturalWidth > 0,
    seconds: document.getElementById("seconds").textContent, right: after.alt, src: after.src.slice(-60),
  };
};
const move = (id, value) => {
  const found = document.getElementById(id);
  found.value = value;
  found.dispatchEvent(new Event("input"));
};
window.addEventListener("load", () => {  // all at once: the page is written out right after it
  note("first");
  move("split", 25);
  move("time", 5);
  move("right", "reference");
  note("moved");
  const svg = document.querySelector(".chart svg");
  const box = svg.getBoundingClientRect();
  const at = { clientX: box.right - 5, clientY: box.top + 20, bubbles: true };
  svg.dispatchEvent(new PointerEvent("pointermove", at));
  said.cursor = document.querySelector(".chart .at").textContent;
  svg.dispatchEvent(new MouseEvent("click", at));
  note("picked");
  const stage = document.querySelector(".stage").getBoundingClientRect();
  document.querySelector(".stage").dispatchEvent(new PointerEvent("pointermove",
    { clientX: stage.left + stage.width * 0.75, clientY: stage.top + 5, buttons: 1 }));
  note("dragged");
  document.title = JSON.stringify(said);
});
</script>
"""


def test_the_sliders_work_in_a_browser(written, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    page = tmp_path / "page.html"
    page.write_text(written.read_text("utf-8").replace("</body>", ACTS + "</body>"), "utf-8")
    shown = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    title = re.search("<title>(.*?)</title>", shown.stdout)
    assert title is not None
    said = json.loads(title[1])
    first, moved = said["first"], said["moved"]
    assert first["loaded"]
    assert first["split"] == "inset(0px 0px 0px 50%)"
    assert (first["seconds"], first["right"]) == ("0.00 s", "result")
    assert moved["split"] == "inset(0px 0px 0px 25%)"
    assert (moved["seconds"], moved["right"]) == ("0.20 s", "reference")
    assert moved["src"] != first["src"]
    assert said["cursor"] == "at 0.44 s"
    assert said["picked"]["seconds"] == "0.44 s"
    assert said["dragged"]["split"] == "inset(0px 0px 0px 75%)"
