"""Real clips, made by many cameras and programs: frames, times and sound come through unchanged.

The clips lie beside the repository, in ../shared/clips; without them these tests are skipped.
"""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from clips import frame_times, packets, video_tick
from converting import IdentityEngine, convert, plan_for

from cgvideo.pipeline import run
from cgvideo.progress import Silent, StageTimes

CLIPS = Path(__file__).parents[3] / "shared" / "clips"
TICK_OF_SOUND = Fraction(1, 1000)  # Matroska's, in which it rounds the times of sound, too
MIB = 1 << 20

pytestmark = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"there are no real clips at {CLIPS}")

CONVERTED = [
    *(path.relative_to(CLIPS).as_posix() for name in ("landscape", "road", "film")
      for path in sorted((CLIPS / name).glob("*.*"))),
    "androidx_media/mp4/bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4",
    "androidx_media/mkv/sample_with_srt.mkv",
    "androidx_media/mp4/edit_list_positive_shift.mp4",
    "androidx_media/mp4/iibbibb_editlist_videoonly.mp4",
    "androidx_media/mp4/sample_fragmented.mp4",
    "androidx_media/mp4/sample_portrait.mp4",
    "androidx_media/ts/sample_h264.ts",
    "misc/decord_corrupted.mp4",
    "misc/delayed_start.mp4",
    "misc/newtonscradle.gif",
    "misc/phone_rot90.mov",
    "misc/realshort.mp4",
    "misc/unordered.mov",
    "androidx_media/mp4/water_180_mvhevc_5frames.mov",  # with a kind of side data PyAV does not know
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED)
def test_a_real_clip_keeps_every_frame_time_and_sound(name: str, tmp_path: Path) -> None:
    source = CLIPS / name
    output = convert(source, _output(source, tmp_path), max_size=96).output
    before, after = frame_times(source), frame_times(output)
    assert len(after) == len(before)
    assert _worst(before, after) <= video_tick(output) / 2
    sound, kept = packets(source, "audio"), packets(output, "audio")
    assert [data for _, data in kept] == [data for _, data in sound]
    if sound:
        assert _worst([time for time, _ in sound], [time for time, _ in kept]) <= TICK_OF_SOUND / 2
    assert len(packets(output, "subtitle")) == len(packets(source, "subtitle"))


def test_sound_that_nobody_can_decode_is_left_out_and_said(tmp_path: Path) -> None:
    source = CLIPS / "androidx_media/mp4/sample_missing_stsd.mp4"
    plan = plan_for(source, tmp_path, max_size=96)
    assert [notice for notice in plan.notices if "audio" in notice and "left out" in notice]
    assert run(plan, IdentityEngine()).frames == len(frame_times(source))


def _output(source: Path, folder: Path) -> Path:
    """The usual name, in another folder."""
    return folder / plan_for(source, folder, max_size=96).output.name


def _worst(before: list[Fraction], after: list[Fraction]) -> Fraction:
    return max(abs(a - b) for a, b in zip(before, after, strict=True))


class MemorySamples(Silent):
    """Resident memory, by frame number."""

    def __init__(self) -> None:
        self.resident: dict[int, int] = {}

    def frame_done(self, number: int, stages: StageTimes) -> None:
        if number % 96 == 0:
            self.resident[number] = _resident_bytes()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_over_six_minutes_of_clip(tmp_path: Path) -> None:
    source = CLIPS / "androidx_media/mp4/long_1080p_lowbitrate.mp4"
    samples = MemorySamples()
    plan = plan_for(source, tmp_path / "out.mp4", max_size=160)
    frames = run(plan, IdentityEngine(), samples).frames
    assert frames == 10_883
    settled = max(size for number, size in samples.resident.items() if number <= frames * 0.1)
    later = [size for number, size in samples.resident.items() if number > frames * 0.1]
    assert max(later) - settled < 30 * MIB
