"""Encoders in hardware: refused where the trial fails, and what is asked of them where it works."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from commandline import Cli, assert_one_line
from converting import plan_for
from PIL import Image

from cgvideo.codec import hardware
from cgvideo.codec.encode import CODECS, encoder_options
from cgvideo.codec.hardware import Trial, hardware_of, has_codec, try_decoder, try_encoder
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.survey.runtimes import nvidia

NVENC = ("h264_nvenc", "hevc_nvenc")
without_nvenc = pytest.mark.skipif(nvidia().installed, reason="there is an NVIDIA driver")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A trial is remembered for the process."""
    yield
    try_encoder.cache_clear()
    try_decoder.cache_clear()


@without_nvenc
def test_nvenc_is_refused_in_a_line_where_it_does_not_work(cli: Cli, clip: Path) -> None:
    result = cli("convert", clip, "--codec", "h264_nvenc")
    assert_one_line(result, "h264_nvenc does not work here", "libcuda", "Use --codec h264")
    assert "making the engine ready" not in result.stderr  # said before anything takes long
    assert [path.name for path in clip.parent.iterdir()] == ["in.mp4"]


@without_nvenc
def test_a_picture_needs_no_encoder_of_clips(cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "green").save(tmp_path / "in.png")
    assert cli("convert", "in.png", "--codec", "h264_nvenc").returncode == 0


@without_nvenc
@pytest.mark.parametrize("codec", NVENC)
def test_python_is_refused_too(clip: Path, codec: str) -> None:
    with pytest.raises(UserError, match=f"Use --codec {CODECS[codec].stand_in}$"):
        plan_for(clip, codec=codec, preset="p1")


def test_the_trial_is_of_the_real_encoder_in_a_child() -> None:
    """What works in software passes the trial that hardware must pass."""
    assert try_encoder("h264") == Trial()
    assert hardware_of("h264") == ""


def test_pictures_that_come_back_wrong_fail_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hardware.DECODERS, "h264", "h264")
    monkeypatch.setattr(hardware, "_hardware", lambda: "a chip")
    assert hardware._decode("h264") == {"hardware": "a chip"}
    right = list(hardware._pictures())
    with pytest.raises(UserError, match="gives 7 of 8 frames"):
        hardware._compare(right[1:])
    with pytest.raises(UserError, match="levels of 255 off"):
        hardware._compare([picture[..., ::-1] for picture in right])


def test_an_encoder_that_ffmpeg_lacks_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_codec("h264_abacus", "w")
    monkeypatch.setattr(hardware, "has_codec", lambda name, mode: False)
    assert "built without" in try_encoder("h264_nvenc").problem
    assert "built without" in try_decoder("h264_cuvid").problem


@pytest.mark.parametrize("codec", NVENC)
def test_where_the_trial_works_it_is_asked_for_constant_quality(
    monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr(hardware, "try_encoder", lambda codec: Trial(hardware="a GPU, driver 1"))
    assert hardware_of(codec) == "a GPU, driver 1"
    options = dict(encoder_options(codec, 25, "p6", threads=4))
    assert options == {"rc": "vbr", "cq": "25", "b": "0", "preset": "p6", "tune": "hq"}
    usual = dict(encoder_options(codec, None, None, threads=4))
    assert usual["cq"] == str(CODECS[codec].crf)
    assert usual["preset"] == "p4"


@without_nvenc
@pytest.mark.parametrize("codec", NVENC)
def test_ffmpeg_knows_nvencs_options_and_formats(codec: str) -> None:
    """It looks at them before it looks for a driver, so this needs none."""

    def refusal(**changed: str) -> str:
        context = av.CodecContext.create(CODECS[codec].encoder, "w")
        context.width = context.height = 256
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
        context.options = dict(encoder_options(codec, None, None, threads=1)) | changed
        with pytest.raises(av.FFmpegError) as error:
            context.open()
        return str(error.value.strerror)

    if "Operation not permitted" not in refusal():
        pytest.skip("this FFmpeg says the lack of a driver otherwise")
    for name, nonsense in {"rc": "best", "cq": "99", "preset": "p9", "tune": "fine"}.items():
        assert "Operation not permitted" not in refusal(**{name: nonsense}), name
    formats = {known.name for known in av.Codec(CODECS[codec].encoder, "w").video_formats or ()}
    assert {"yuv420p", "yuv444p", "nv12"} <= formats


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crf": 0}, "goes from 1"),
        ({"crf": 52}, "to 51"),
        ({"preset": "veryfast"}, "p1, p2"),
    ],
)
def test_nvenc_has_its_own_range_and_presets(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(codec="h264_nvenc", **settings)  # type: ignore[arg-type]


def test_gpu_and_driver_are_part_of_the_plan(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    """Up to the rehearsal, which a machine without NVENC plays with the stand-in."""
    monkeypatch.setitem(CODECS, "fake_nvenc", _in_hardware("h264"))
    prints = set()
    for driver in ("580.1", "580.2"):
        monkeypatch.setattr(
            hardware, "try_encoder", lambda codec, driver=driver: Trial(hardware=f"GPU {driver}")
        )
        plan = plan_for(clip, codec="fake_nvenc")
        assert plan.encoding.hardware == f"GPU {driver}"
        prints.add(plan.fingerprint)
    assert len(prints) == 2
    assert plan_for(clip).encoding.hardware == ""


def test_frames_in_gpu_memory_are_not_offered(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setattr(hardware, "try_encoder", lambda codec: Trial(hardware="a GPU"))
    with pytest.raises(UserError, match="does not encode 'cuda'") as refused:
        plan_for(clip, codec="h264_nvenc", preset="p1", pixel_format="cuda")
    assert "yuv420p" in refused.value.mend
    assert not re.search(r"\bcuda\b", refused.value.mend)


def _in_hardware(codec: str) -> object:
    from dataclasses import replace

    return replace(CODECS[codec], stand_in=codec)
