"""`cgvideo export` and `cgvideo engines`, as a user types them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import SMALL, Cli, assert_one_line


@pytest.mark.slow
def test_export_writes_the_file_and_its_sidecar(cli: Cli, tmp_path: Path) -> None:
    result = cli("export", "summer2winter", "--target", "onnx", "--size", "94x64")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "summer2winter.onnx").stat().st_size > 4_000_000
    assert json.loads((tmp_path / "summer2winter.onnx.json").read_text())["form"] == "self"
    assert "dB" in result.stdout
    assert "checking" in result.stderr
    again = cli("export", "summer2winter", "--target", "onnx", "--size", "94x64")
    assert_one_line(again, "exists already", "--overwrite")


@pytest.mark.slow
def test_export_for_programs(cli: Cli, tmp_path: Path) -> None:
    result = cli("export", "summer2winter", "-t", "openvino", "-o", tmp_path, "--json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "done"
    assert [Path(file).name for file in events[-1]["files"]] == [
        "summer2winter.xml",
        "summer2winter.bin",
    ]
    assert events[-1]["psnr"] >= 55


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("summer2winter", "-t", "abacus"), ("abacus", "Known: onnx")),
        (("summer2winter", "-t", "onnx", "--form", "free"), ("Known: self",)),
        (("summer2winter", "-t", "onnx", "--precision", "bf16"), ("Known: fp32, fp16",)),
        (("summer2winter", "-t", "tensorrt", "--precision", "bf16"), ("transposed", "fp16")),
        (("summer2winter", "-t", "tensorrt", "--gpu", "ada"), ("'ADA' is no GPU", "sm86,sm89")),
        (("summer2winter", "-t", "tensorrt", "-o", "x.onnx"), (".engine",)),
        (("summer2winter", "-t", "onnx", "--gpu", "sm89"), ("for TensorRT alone",)),
        (("summer2winter", "-t", "onnx", "--size", "huge"), ("huge", "1080p")),
        (("summer2winter", "-t", "onnx", "--batch", "0"), ("holds no frame",)),
        (("summer2winter", "-t", "onnx", "--batch", "0", "--size", "64x64"), ("holds no frame",)),
        (("summer2winter", "-t", "onnx", "-o", "x.xml"), (".onnx",)),
        (("summer2winter", "-t", "onnx", "-o", "no/x.onnx"), ("does not exist",)),
        (("summer2winter", "-t", "openvino", "-o", "x.XML"), (".xml",)),
        (("sumer2winter", "-t", "onnx"), ("Did you mean summer2winter",)),
    ],
)
def test_export_says_what_is_wrong(here: Cli, arguments, words) -> None:
    assert_one_line(here("export", *arguments), *words)


@pytest.mark.parametrize("beside", ["summer2winter.bin", "summer2winter.xml.json"])
def test_export_replaces_nothing_unasked(here: Cli, tmp_path: Path, beside: str) -> None:
    """OpenVINO's weights and the sidecar have names that nobody typed."""
    (tmp_path / beside).write_text("of another kind")
    result = here("export", "summer2winter", "-t", "openvino", "--size", "64x64")
    assert_one_line(result, f"{beside} exists already", "--overwrite")
    assert (tmp_path / beside).read_text() == "of another kind"


@pytest.mark.slow
def test_an_engine_for_tensorrt_needs_no_gpu(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = cli("export", "summer2winter", "--target", "tensorrt", "--size", "96x64")
    assert result.returncode == 0, result.stderr
    assert "MB on the GPU" in result.stderr
    assert "the engine was not run here" in result.stdout
    assert (tmp_path / "summer2winter.engine").read_bytes()[:4] == b"vtrt"
    sidecar = json.loads((tmp_path / "summer2winter.engine.json").read_text())
    assert sidecar["precision"] == "fp16"
    assert sidecar["tensorrt"]["capabilities"][:2] == ["SM80", "SM86"]

    wrong = cli("export", "summer2winter", "-t", "tensorrt", "--gpu", "sm90", "-o", "h100.engine")
    assert_one_line(wrong, "builds nothing for SM90", "sm89")
    assert not list(tmp_path.glob("h100*"))


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(cli: Cli, tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("tensorrt_rtx")
    command = [sys.executable, "-m", "cgvideo", "export", "summer2winter", "-t", "tensorrt"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        while "building it" not in run.stderr.readline():
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.engine*"))
    assert not list(tmp_path.glob(".cgvideo-*"))


@pytest.mark.slow
def test_convert_builds_once_and_the_store_lists_it(
    cli: Cli, clip: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["CGVIDEO_CACHE"] = str(tmp_path / "cache")
    assert "0 engines" in cli("engines", "list").stdout
    first = cli("convert", clip, *SMALL, "--norm", "frame")
    assert "building summer2winter for openvino in fp32" in first.stderr
    (content,) = (tmp_path / "cache").rglob("content")
    second = cli("convert", clip, *SMALL, "--norm", "frame", "--overwrite")
    assert second.returncode == 0
    assert "building" not in second.stderr
    listed = cli("engines").stdout
    for word in ("summer2winter", "self", "fp32", "\n1 engine, "):
        assert word in listed
    (entry,) = map(json.loads, cli("engines", "list", "--json").stdout.splitlines())
    assert entry["facts"]["psnr"] >= 55

    content.write_bytes(content.read_bytes()[:1000])
    third = cli("convert", clip, *SMALL, "--norm", "frame", "--overwrite")
    assert third.returncode == 0
    assert "building" in third.stderr

    assert cli("engines", "clear").stdout.startswith("1 entry removed, ")
    assert not list((tmp_path / "cache").rglob("content"))


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_does_not_stop_a_conversion(
    cli: Cli, clip: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "file").write_text("")
    environment["CGVIDEO_CACHE"] = str(tmp_path / "file")
    result = cli("convert", clip, *SMALL)
    assert result.returncode == 0, result.stderr
    assert "not kept" in result.stderr
