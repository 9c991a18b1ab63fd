"""Runs that are killed, and the same command again: the very bytes of a run that was never killed.

Clips have five segments and a bit; nothing that was committed is rendered twice.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from clips import INTRA_REFRESH, OPEN_GOP, flip_bytes, make_clip
from converting import convert, convert_by_model, plan_for
from crash.dying_run import DIED
from generators import SMALL, random_model

import cgvideo.codec.encode
from cgvideo.journal import Journal
from cgvideo.leftovers import find_leftovers
from cgvideo.pipeline import Result
from cgvideo.places import work_folder_of
from cgvideo.plan import SEGMENT_FRAMES, Plan
from engines.errors import UserError
from engines.model_file import write_model

SEGMENTS = 5
FRAMES = SEGMENTS * SEGMENT_FRAMES + 20
TESTS = Path(__file__).parents[1]
IMPORTED_FROM = (TESTS.parent, TESTS)
CORRUPTED = TESTS.parents[1] / "shared" / "clips" / "misc" / "decord_corrupted.mp4"
COMMITTING = "before the journal's line"
NAMING = "before the part's name"  # and the journal's own: the first is its


class Bench:
    """A clip, what an unbroken run makes of it, and a place for broken ones."""

    def __init__(self, source: Path, **settings: Any) -> None:
        self.source = source
        self.settings = settings
        self.whole = self._convert(self._folder("whole") / f"out{source.suffix}")
        self.output = self._folder("broken") / self.whole.output.name

    def _folder(self, name: str) -> Path:
        folder = self.source.parent / name
        folder.mkdir()
        return folder

    def _convert(self, output: Path) -> Result:
        if "model" in self.settings:
            return convert_by_model(self.source, output, **self.settings)
        return convert(self.source, output, **self.settings)

    @property
    def plan(self) -> Plan:
        return plan_for(self.source, self.output, **self.settings)

    def clear(self) -> None:
        shutil.rmtree(self.output.parent)
        self.output.parent.mkdir()

    def die(self, where: str, count: int) -> None:
        """Convert in a child process that ends itself at the `count`-th time at a place."""
        settings = json.dumps(self.settings)
        child = subprocess.run(
            [
                sys.executable,
                "-m",
                "crash.dying_run",
                self.source,
                self.output,
                settings,
                where,
                str(count),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, IMPORTED_FROM))},
            timeout=120,
            check=False,
            capture_output=True,
            text=True,
        )
        assert child.returncode == DIED, child.stderr

    def resume(self) -> Result:
        """The same command again; its bytes are compared with the unbroken run's."""
        result = self._convert(self.output)
        assert result.output.read_bytes() == self.whole.output.read_bytes()
        assert list(self.output.parent.iterdir()) == [self.output]
        return result


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("plain")
    return Bench(make_clip(folder / "in.mp4", FRAMES, audio="aac"))


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    shared_bench.clear()
    return shared_bench


@pytest.mark.parametrize(
    ("where", "count", "committed"),
    [
        pytest.param("translating", 2, 0, id="in translate, at the beginning"),
        pytest.param("translating", 60, 2, id="in translate"),
        pytest.param("encoding", 3, 0, id="in encode, at the beginning"),
        pytest.param("encoding", 300, 3, id="in encode"),
        pytest.param(NAMING, 4, 2, id="between the part's fsync and its name"),
        pytest.param(COMMITTING, 1, 0, id="between the part's fsync and its line, the first"),
        pytest.param(COMMITTING, 4, 3, id="between the part's fsync and its line"),
        pytest.param(COMMITTING, 6, 5, id="between the part's fsync and its line, the last"),
        pytest.param("before the end is noted", 1, 6, id="before the end is noted"),
        pytest.param("joining", 200, 6, id="in the join"),
        pytest.param("checking", 1, 6, id="in the check"),
    ],
)
def test_killed(bench: Bench, where: str, count: int, committed: int) -> None:
    """It goes on to the same bytes, and renders nothing again that was committed."""
    bench.die(where, count)
    assert not bench.output.exists()
    with Journal(bench.plan.work_folder, bench.plan.fingerprint, {}) as journal:
        assert [record.segment for record in journal.parts] == list(range(committed))
    result = bench.resume()
    assert result.frames == FRAMES
    assert result.frames_rendered == max(0, FRAMES - committed * SEGMENT_FRAMES)


@pytest.fixture(scope="module")
def bench_by_model(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder / "small.safetensors", random_model(SMALL))
    source = make_clip(folder / "in.mp4", FRAMES, size=(64, 48), audio="aac")
    return Bench(source, model=str(folder / "small.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "count", "committed"),
    [
        pytest.param("translating", 300, None, id="in translate"),
        pytest.param("encoding", 300, None, id="in encode"),
        pytest.param(COMMITTING, 4, 3, id="between the part's fsync and its line"),
        pytest.param("joining", 200, 6, id="in the join"),
    ],
)
def test_killed_with_a_real_engine_smoothing_and_anchors(
    bench_by_model: Bench, where: str, count: int, committed: int | None
) -> None:
    bench = bench_by_model
    bench.clear()
    bench.die(where, count)
    assert not bench.output.exists()
    rendered = bench.resume().frames_rendered
    if committed is None:
        assert rendered in range(FRAMES % SEGMENT_FRAMES, FRAMES, SEGMENT_FRAMES)
    else:
        assert rendered == max(0, FRAMES - committed * SEGMENT_FRAMES)


def test_killed_after_the_file_has_its_name(bench: Bench) -> None:
    """It is finished; what is left is found, and removed by a run that may replace it, too."""
    bench.die("before the work is removed", 1)
    assert bench.output.read_bytes() == bench.whole.output.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        bench.resume()
    (left,) = find_leftovers([bench.output.parent])
    assert left.folder == work_folder_of(bench.output)
    assert not left.in_use
    result = convert(bench.source, bench.output, overwrite=True)
    assert result.frames_rendered == 0
    assert bench.output.read_bytes() == bench.whole.output.read_bytes()
    assert list(bench.output.parent.iterdir()) == [bench.output]


def test_an_encoder_that_dies_is_one_line_and_the_same_command_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise av.error.ExternalError(av.error.tag_to_code(b"EXT "), "of an external library")

    packets_of = cgvideo.codec.encode._in_time
    encoder = itertools.chain(itertools.repeat(packets_of, 300), itertools.repeat(die))
    with monkeypatch.context() as patch:
        patch.setattr("cgvideo.codec.encode._in_time", lambda *given: next(encoder)(*given))
        with pytest.raises(UserError, match=r"could not be written \(of an external") as said:
            bench.resume()
    assert "\n" not in str(said.value)
    assert not bench.output.exists()
    assert bench.resume().frames_rendered == FRAMES - 3 * SEGMENT_FRAMES


def test_a_run_that_is_killed_again_and_again_gets_there(bench: Bench) -> None:
    for _ in range(3):
        bench.die("translating", 50)  # a segment is 24 calls
    assert bench.resume().frames_rendered <= FRAMES - 3 * SEGMENT_FRAMES


def test_a_torn_line_costs_its_own_segment_only(bench: Bench) -> None:
    bench.die(COMMITTING, 4)
    path = bench.plan.work_folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert bench.resume().frames_rendered == FRAMES - 2 * SEGMENT_FRAMES


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "damaged": lambda part: flip_bytes(part, 0.5, 10),
    "cut short": lambda part: part.write_bytes(part.read_bytes()[:-1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("segment", [0, 1, 4])
def test_a_part_that_is_lost_is_rendered_anew_and_no_other(
    bench: Bench, damage: str, segment: int
) -> None:
    bench.die("joining", 100)
    DAMAGE[damage](bench.plan.work_folder / f"{segment:06d}.nut")
    assert bench.resume().frames_rendered == SEGMENT_FRAMES


def test_two_gaps_are_filled(bench: Bench) -> None:
    bench.die("joining", 100)
    for segment in (1, 2, 5):
        (bench.plan.work_folder / f"{segment:06d}.nut").unlink()
    assert bench.resume().frames_rendered == 2 * SEGMENT_FRAMES + 20


def test_a_last_part_of_one_frame_is_missed_when_it_is_lost(tmp_path: Path) -> None:
    bench = Bench(make_clip(tmp_path / "in.mp4", SEGMENT_FRAMES + 1))
    bench.die("checking", 1)
    (bench.plan.work_folder / "000001.nut").unlink()
    assert bench.resume().frames_rendered == 1


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"not a journal\nat all\n"])
def test_a_garbled_journal_starts_afresh(bench: Bench, content: bytes) -> None:
    bench.die(COMMITTING, 4)
    (bench.plan.work_folder / "journal.jsonl").write_bytes(content)
    assert bench.resume().frames_rendered == FRAMES


def test_a_journal_of_another_plan_is_not_believed(bench: Bench) -> None:
    bench.die(COMMITTING, 4)
    path = bench.plan.work_folder / "journal.jsonl"
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace(bench.plan.fingerprint, "0" * 64), encoding="utf-8")
    assert bench.resume().frames_rendered == FRAMES


KINDS: dict[str, Callable[[Path], Path]] = {
    "MPEG-TS": lambda folder: make_clip(folder / "in.ts", FRAMES, audio="aac"),
    "Matroska": lambda folder: make_clip(folder / "in.mkv", FRAMES, audio="aac"),
    "interlaced": lambda folder: make_clip(
        folder / "in.mp4", FRAMES, options={"x264-params": "tff=1:keyint=50"}
    ),
    "open GOP": lambda folder: make_clip(folder / "in.mp4", FRAMES, options=OPEN_GOP),
    "open GOP in MPEG-TS": lambda folder: make_clip(folder / "in.ts", FRAMES, options=OPEN_GOP),
    "intra refresh": lambda folder: make_clip(folder / "in.mp4", FRAMES, options=INTRA_REFRESH),
    "intra refresh in MPEG-TS": lambda folder: make_clip(
        folder / "in.ts", FRAMES, options=INTRA_REFRESH
    ),
    "variable rate": lambda folder: make_clip(
        folder / "in.mp4", FRAMES, pts=lambda number: 512 * number + (number * number * 31) % 400
    ),
    "damaged": lambda folder: _damaged(make_clip(folder / "in.mp4", FRAMES)),
    "damaged MPEG-TS": lambda folder: _damaged(make_clip(folder / "in.ts", FRAMES)),
    "damaged, B-frames and one key frame": lambda folder: _damaged(
        make_clip(folder / "in.mkv", FRAMES, options={"g": "1000", "bf": "3"})
    ),
}


def _damaged(path: Path) -> Path:
    """Damage before, at and after the seam of the second segment."""
    for place in (0.2, 0.39, 0.6):
        flip_bytes(path, place)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_clip_resumes_to_the_same_bytes(tmp_path: Path, kind: str) -> None:
    bench = Bench(KINDS[kind](tmp_path))
    bench.die(COMMITTING, 3)
    assert bench.resume().frames_rendered == bench.whole.frames - 2 * SEGMENT_FRAMES


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_a_part_of_a_clip_resumes_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / f"in{suffix}", FRAMES, audio="aac")
    bench = Bench(source, start=4.5, duration=10)
    bench.die(COMMITTING, 2)
    assert bench.resume().frames_rendered == 250 - SEGMENT_FRAMES


def test_a_damaged_clip_says_at_each_run_how_damaged_it_is(tmp_path: Path) -> None:
    bench = Bench(_damaged(make_clip(tmp_path / "in.mp4", FRAMES)))
    assert bench.whole.damage.packets > 0


@pytest.mark.skipif(not CORRUPTED.exists(), reason="the folder of real clips is not there")
def test_a_clip_that_was_found_damaged_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    results = [
        convert(CORRUPTED, tmp_path / f"out{number}.mp4", max_size=96).output.read_bytes()
        for number in range(3)
    ]
    assert results[0] == results[1] == results[2]
