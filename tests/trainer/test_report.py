"""The report of a run: one page that needs nothing else, at any time of the run."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from domains import tiny  # noqa: E402

from engines.page.charts import MOST_POINTS, Chart, Curve  # noqa: E402
from trainer.config import to_toml  # noqa: E402
from trainer.report import write_report  # noqa: E402
from trainer.samples import sample_sheet  # noqa: E402
from trainer.verdict import headline, in_words, way  # noqa: E402

MEASURED = {
    "taken_for_target": 0.91, "taken_for_target_floor": 0.08, "taken_for_target_ceiling": 0.94,
    "taken_for_source": 0.5, "taken_for_source_floor": 0.06, "taken_for_source_ceiling": 0.92,
    "edges_to_target": 0.73, "edges_to_source": 0.71, "cycle_psnr_source": 24.5,
    "cycle_psnr_target": 23.5, "pictures_measured": 64.0, "on_training_pictures": 0.0,
    "score": 0.62,
}  # fmt: skip
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """A page's elements, checked to be closed in the order they were opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag, **wanted):
        return [
            found
            for name, found in self.elements
            if name == tag and wanted.items() <= found.items()
        ]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def curves(self):
        charts = [json.loads(each["data-chart"]) for each in self.all("figure")]
        return [curve for chart in charts for curve in chart["curves"]]


def written(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def log(folder, *lines):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )


def sheets(folder, *places, paired=False, size=(16, 24)):
    same = torch.nn.Identity()
    for seen in places:
        pair = (torch.zeros(1, 3, *size), torch.ones(1, 3, *size))
        path = folder / "samples" / f"{seen:09}.png"
        sample_sheet(path, same, None if paired else same, [pair, pair])


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    losses = [
        {"images_seen": n, "adversarial_target": 0.5 + n / 1000, "cycle_source": 2.0}
        for n in (10, 20, 30)
    ]
    log(folder, *losses, {"images_seen": 30, **MEASURED})
    (folder / "config.toml").write_text(to_toml(tiny(folder, images=120)))
    sheets(folder, 10, 20, 30)
    return folder


def test_it_tells_what_was_logged(run):
    page = written(run)
    assert [[10, 0.51], [20, 0.52], [30, 0.53]] in page.curves
    assert [[30, 0.91]] in page.curves
    assert "91 % of the translated pictures" in page.text
    assert "30 of 120 pictures seen (25 %)" in page.text
    assert "blue2orange" in page.text
    assert "base channels" in page.text  # a setting


def test_the_slider_has_a_place_for_every_sheet(run):
    page = written(run)
    (slider,) = page.all("input", type="range")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "2")
    images = page.all("img")
    assert [each["data-seen"] for each in images] == ["10", "20", "30"]
    assert ["hidden" in each for each in images] == [True, True, False]
    kind, code = images[0]["src"].split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(code))).size == (6 * 28 - 4, 2 * 20 - 4)
    assert "source translated back target translated back" in page.text


def test_paired_sheets_have_three_columns(tmp_path):
    sheets(tmp_path, 5, paired=True)
    assert "source translated what it should be" in written(tmp_path).text


def test_large_sheets_are_made_small(tmp_path):
    sheets(tmp_path, 5, size=(300, 400))
    (image,) = written(tmp_path).all("img")
    opened = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1])))
    assert opened.width == 1280


def test_it_asks_no_network_for_anything(run):
    text = (write_report(run)).read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    policy = Page(text).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none'")
    for _, attributes in Page(text).elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes


def test_names_are_text_and_nothing_else(run):
    name = "<script>alert('x')</script> & \"co\" $title"
    settings = to_toml(tiny(run)).replace('"blue2orange"', json.dumps(name))
    (run / "config.toml").write_text(settings)
    log(run, {"images_seen": 1, "<b>odd</b>": 1.5, "hardware": "<i>H100</i>"})
    page = written(run)
    assert len(page.all("script")) == 1
    assert not page.all("b", odd="")
    assert "<b>odd</b>" in page.text
    assert not page.all("i", H100="")
    assert "<i>H100</i>" in page.text
    assert name in page.text


def test_a_run_that_has_hardly_begun_has_a_report(tmp_path):
    page = written(tmp_path)
    assert "Nothing has been measured yet" in page.text
    assert not page.all("img")
    assert not page.all("figure")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_is_damaged_is_left_out(run):
    log(
        run,
        {"images_seen": 40, "cycle_source": 1.5},
        '{"images_seen": 20, "cycle_so\n',
        '{"images_seen": 30, "cycle_source": NaN, "l1": Infinity}\n',
        '{"images_seen": "many"}\n[1]\n\n',
        {"images_seen": 10, "cycle_source": 2.5},  # out of order
    )
    (run / "samples" / "000000020.png").write_bytes(b"no picture")
    (run / "config.toml").write_text("this is = no TOML [")
    (run / "models").mkdir()
    (run / "models" / "half.safetensors").write_bytes(b"\0" * 20)
    page = written(run)
    assert page.curves == [[[10, 2.5], [40, 1.5]]]
    assert [each["data-seen"] for each in page.all("img")] == ["10", "30"]
    assert page.all("input", type="range")[0]["max"] == "1"


def test_long_curves_are_thinned_without_losing_their_course():
    points = [(n, float(n)) for n in range(20_000)]
    html = Chart("rising", "", [Curve("values", points)]).html()
    (curve,) = Page(html).curves
    assert len(curve) == MOST_POINTS
    assert all(x == pytest.approx(y, rel=1e-3, abs=1) for x, y in curve)


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [5.0, 5.0, 5.0], [-1e-9, 1e6]])
def test_any_values_can_be_drawn(values):
    curve = Curve("values", [(n, value) for n, value in enumerate(values)])
    html = Chart("any", "", [curve]).html()
    assert len(Page(html).curves[0]) == len(values)
    assert not re.search(r"nan|inf", html)


def test_the_verdict_follows_the_measures():
    def said(**changed):
        return headline(MEASURED | changed)

    assert said() == "Translated pictures pass for the target."
    assert "mostly" in said(taken_for_target=0.7)
    assert "not" in said(taken_for_target=0.1)
    assert "little of the source" in said(edges_to_target=0.1)
    assert "cannot be told apart" in said(taken_for_target_ceiling=0.1)
    assert "measured yet" in headline({})
    cautious = " ".join(in_words(MEASURED | {"on_training_pictures": 1.0}))
    assert "trained on" in cautious
    assert "trained on" not in " ".join(in_words(MEASURED))


def test_the_way_goes_from_floor_to_ceiling():
    values = {"taken_for_target_floor": 0.2, "taken_for_target_ceiling": 0.6}
    ways = [way(values | {"taken_for_target": share}, "target") for share in (0.1, 0.2, 0.5, 0.9)]
    assert ways == pytest.approx([0, 0, 0.75, 1])
