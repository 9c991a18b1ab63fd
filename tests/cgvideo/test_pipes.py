"""ffmpeg can stand on either side: standard input and output speak NUT and Y4M."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from clips import BT601_FULL, make_clip, number_in, numbers, packets, read_numbers, read_planes
from commandline import Cli
from converting import convert

from cgvideo.cli.interrupt import Interruption
from cgvideo.cli.pipes import PIPE, is_piped, through_pipes
from cgvideo.cli.reports import CUT_SHORT
from cgvideo.codec.probe import probe
from cgvideo.codec.y4m import write_y4m
from cgvideo.settings import Settings
from engines.errors import UserError


def piped(
    source: Path | bytes,
    form: str = "nut",
    work: Any = None,
    output: Path = PIPE,
    outgoing: Any = None,
) -> tuple[bytes, list[str]]:
    """What comes out of a conversion with the identity between two pipes, and what was said."""

    def usual(inputs: list[Path], settings: Settings) -> None:
        convert(inputs[0], settings.output, crf=0)

    notes: list[str] = []
    inputs = [PIPE] if isinstance(source, bytes) else [source]
    incoming = io.BytesIO(source) if isinstance(source, bytes) else None
    into = outgoing or io.BytesIO()
    settings = Settings(output=output)
    assert is_piped(inputs, settings)
    through_pipes(
        inputs, settings, form, Interruption(1), work or usual, notes.append, incoming, into
    )
    return (b"" if outgoing else into.getvalue()), notes


def test_nut_goes_in_and_comes_out_with_sound_and_times(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.nut", 20, pts=lambda number: 512 * number + 50 * (number % 2), audio="aac"
    )
    content, notes = piped(source.read_bytes())
    output = tmp_path / "out.nut"
    output.write_bytes(content)
    assert read_numbers(output) == read_numbers(source)
    assert [data for _, data in packets(output, "audio")] == [
        data for _, data in packets(source, "audio")
    ]
    assert notes == []


@pytest.mark.parametrize("size", [(96, 64), (33, 17)])
def test_y4m_comes_out_and_goes_in(tmp_path: Path, size: tuple[int, int]) -> None:
    source = make_clip(
        tmp_path / "in.mkv", 5, size=size, codec="ffv1", pixel_format="yuv444p", options={}
    )
    content, _ = piped(source, "y4m")
    assert content.startswith(b"YUV4MPEG2 W%d H%d F25:1 " % size)
    (tmp_path / "between.y4m").write_bytes(content)
    again, _ = piped(content, "y4m")
    assert numbers(tmp_path / "between.y4m") == list(range(5))
    (tmp_path / "again.y4m").write_bytes(again)
    for first, second in zip(
        read_planes(tmp_path / "between.y4m"), read_planes(tmp_path / "again.y4m"), strict=True
    ):
        for plane, kept in zip(first, second, strict=True):
            assert np.abs(plane.astype(float) - kept).mean() < 1.5


def test_what_y4m_cannot_say_is_said(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv", 10, pts=lambda number: 512 * number + 200 * (number % 2), audio="aac"
    )
    _, notes = piped(source, "y4m")
    assert any("sound" in note for note in notes)
    assert any("one rate" in note for note in notes)
    rgb = make_clip(tmp_path / "rgb.mkv", 2, codec="ffv1", pixel_format="bgr0", options={})
    with pytest.raises(UserError, match="no word for bgr0"):
        write_y4m(rgb, io.BytesIO())


def test_what_is_cut_short_still_comes_out(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.nut", 5)

    def work(inputs: list[Path], settings: Settings) -> None:
        convert(inputs[0], settings.output, codec="h264", crf=0)
        raise typer.Exit(CUT_SHORT)

    into = io.BytesIO()
    with pytest.raises(typer.Exit) as left:
        piped(source, work=work, outgoing=into)
    assert left.value.exit_code == CUT_SHORT
    assert into.getvalue()


def test_no_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "in.nut", 3).read_bytes()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    piped(source)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_reader_that_leaves_is_told_in_one_line(tmp_path: Path) -> None:
    class Gone(io.BytesIO):
        def write(self, content: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(UserError, match="reader of standard output has gone"):
        piped(make_clip(tmp_path / "in.nut", 3), outgoing=Gone())


def test_a_result_without_a_name_is_refused(here: Cli, tmp_path: Path) -> None:
    make_clip(tmp_path / "in.mp4", 2)
    for arguments, said in {
        ("-",): "no name",
        ("-", "in.mp4", "-o", "-"): "one input",
        ("in.mp4", "-o", "-", "--json"): "both the video and --json",
        ("in.mp4", "-o", "-", "--pipe", "avi"): "nut, y4m",
    }.items():
        result = here("convert", *arguments)
        assert result.returncode == 1
        assert said in result.stderr + result.stdout


def test_colours_and_the_shape_of_a_pixel_go_through(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", 3, tags=BT601_FULL, sample_aspect_ratio=Fraction(4, 3))
    (tmp_path / "out.nut").write_bytes(piped(source)[0])
    before, after = probe(source), probe(tmp_path / "out.nut")
    assert after.color == before.color
    assert after.sample_aspect_ratio == Fraction(4, 3)
    assert b" A4:3 " in piped(source, "y4m")[0][:100]
    assert b"XCOLORRANGE=FULL" in piped(source, "y4m")[0][:100]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["nut", "y4m"])
def test_the_command_stands_between_two_pipes(
    tmp_path: Path, environment: dict[str, str], form: str
) -> None:
    source = make_clip(tmp_path / "in.nut", 10)
    command = [sys.executable, "-m", "cgvideo", "convert", "-", "-o", "-", "--pipe", form]
    result = subprocess.run(
        [*command, "--strength", "0"],
        input=source.read_bytes(),
        capture_output=True,
        env=environment,
        check=True,
        timeout=120,
    )
    output = tmp_path / f"out.{form}"
    output.write_bytes(result.stdout)
    assert numbers(output) == [number_in(pixels) for pixels in _pictures(source)]


def _pictures(path: Path) -> list[Any]:
    from clips import read_pictures

    return [pixels for _, pixels in read_pictures(path)]
