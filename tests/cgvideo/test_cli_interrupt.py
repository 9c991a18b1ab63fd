"""Ctrl-C at any moment, as it reaches a process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import make_clip, read_numbers
from commandline import running
from PIL import Image


@pytest.mark.slow
def test_ctrl_c_keeps_whole_segments_and_the_same_command_goes_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    source = make_clip(tmp_path / "long.mp4", frames=199, size=(160, 96))
    output = tmp_path / "long.summer2winter.mp4"
    options = ("--preset", "ultrafast", "--precision", "fp32")
    with running(source, environment, *options) as (process, wait_for):
        wait_for("progress")
        process.send_signal(signal.SIGINT)
        stopped = wait_for("stopped")
        assert process.wait(60) == 130
    assert stopped["frames"] % 96 == 0
    assert stopped["frames"] > 0
    assert not output.exists()
    with running(source, environment, *options) as (process, wait_for):
        assert wait_for("resumed")["frame"] == stopped["frames"]
        assert wait_for("done")["frames"] == 199
        assert process.wait(60) == 0
    assert len(read_numbers(output)) == 199
    assert not list(tmp_path.glob(".*.cgvideo"))


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, environment: dict[str, str]) -> None:
    source = make_clip(tmp_path / "long.mp4", frames=100, size=(320, 192))
    with running(source, environment, "--precision", "fp32", *PLAIN) as (process, wait_for):
        wait_for("progress")
        process.send_signal(signal.SIGINT)
        wait_for("stopping")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - began < 2
    assert not (tmp_path / "long.summer2winter.mp4").exists()


PLAIN = ("--norm", "frame", "--smooth", "off")  # ready sooner
LONG_CALL = """
import contextlib, hashlib, time
import cgvideo.interface, cgvideo.folders.pictures, cgvideo.pipeline, cgvideo.prepare
from cgvideo.cli.reports import emit

def long_call(*_):  # of a library: no signal is handled in its thread until it returns
    emit("in the call")
    hashlib.pbkdf2_hmac("sha512", b"", b"", 10**9)
"""
PREPARING = LONG_CALL + "cgvideo.prepare.prepared = contextlib.contextmanager(long_call)"
READING = LONG_CALL + "cgvideo.folders.pictures.opened = contextlib.contextmanager(long_call)"
RENDERING = LONG_CALL + "cgvideo.pipeline.run = long_call"
SLOW_PICTURES = (
    LONG_CALL
    + """
run_picture = cgvideo.folders.pictures.run_picture
def slowly(*arguments):
    emit("in the call")
    time.sleep(1)
    return run_picture(*arguments)
cgvideo.folders.pictures.run_picture = slowly
"""
)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_before_the_conversion_stops_at_once(
    tmp_path: Path, environment: dict[str, str], sign: signal.Signals
) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=3)
    with running(source, environment, changes=PREPARING) as (process, wait_for):
        wait_for("in the call")
        process.send_signal(sign)
        assert wait_for("left")["inputs"] == 1
        assert process.wait(2) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_ctrl_c_before_a_picture_is_translated_stops_at_once(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with running(tmp_path / "in.png", environment, changes=READING) as (process, wait_for):
        wait_for("in the call")
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == 130


def test_a_second_ctrl_c_does_not_wait_for_a_long_call(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=3)
    with running(source, environment, changes=RENDERING) as (process, wait_for):
        wait_for("in the call")
        process.send_signal(signal.SIGINT)
        wait_for("stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == 130


def test_ctrl_c_once_stops_a_list_after_the_picture_in_hand(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        Image.new("RGB", (32, 32), "green").save(tmp_path / name)
    with running(tmp_path / "a.png", environment, *names[1:], changes=SLOW_PICTURES) as (
        process,
        wait_for,
    ):
        wait_for("in the call")
        process.send_signal(signal.SIGINT)
        wait_for("done")
        left = wait_for("left")
        assert (left["inputs"], left["of"]) == (2, 3)
        assert process.wait(10) == 130
    assert {path.name for path in tmp_path.iterdir()} == {*names, "a.summer2winter.png"}


@pytest.mark.slow
def test_ctrl_c_once_stops_a_list_in_a_clip(tmp_path: Path, environment: dict[str, str]) -> None:
    source = make_clip(tmp_path / "a.mp4", frames=199, size=(160, 96))
    make_clip(tmp_path / "b.mp4", frames=3)
    options = ("b.mp4", "--preset", "ultrafast", "--precision", "fp32", *PLAIN)
    with running(source, environment, *options) as (process, wait_for):
        wait_for("progress")
        process.send_signal(signal.SIGINT)
        wait_for("stopped")
        assert wait_for("left")["inputs"] == 2
        assert process.wait(60) == 130
    assert not (tmp_path / "b.summer2winter.mp4").exists()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_ended_leaves_nothing(
    tmp_path: Path, environment: dict[str, str], sign: signal.Signals
) -> None:
    command = [sys.executable, "-m", "cgvideo", "export", "summer2winter", "-t", "onnx", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if json.loads(line)["step"] == "writing it")
        while not (scratch := list(tmp_path.glob(".*/*.onnx"))):  # its folder is the next it makes
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(sign)
        assert process.wait(20) == 130
    assert scratch
    assert not list(tmp_path.iterdir())
