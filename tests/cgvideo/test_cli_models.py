"""Checkpoints of the reference PyTorch project in and out, as a user types it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from clips import read_numbers
from commandline import SMALL, Cli

torch = pytest.importorskip("torch")

from cgvideo.cli import main  # noqa: E402
from engines.library import find_model  # noqa: E402
from engines.model_file import write_model  # noqa: E402
from engines.network import Generator  # noqa: E402
from engines.spec import GeneratorSpec  # noqa: E402


def _checkpoint(path: Path, spec: GeneratorSpec) -> Path:
    """What the project would save of such a generator, with PyTorch's own random weights."""
    torch.manual_seed(0)
    path.parent.mkdir(exist_ok=True)
    torch.save(Generator(spec).state_dict(), path)
    return path


@pytest.fixture
def run(
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """A command in this process, since loading torch takes seconds: what it says."""

    def call(*arguments: str | Path, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["cgvideo", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert left.value.code == code, said.err
        assert len(said.err.splitlines()) == code  # an error is one line
        return said.err or said.out

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CGVIDEO_MODELS", environment["CGVIDEO_MODELS"])
    return call


def test_a_card_is_written_by_its_owner(run: Callable[..., str], tmp_path: Path) -> None:
    write_model(tmp_path / "mine.safetensors", replace(find_model("summer2winter"), name="mine"))
    run("add", tmp_path / "mine.safetensors")
    run("describe", "mine", "--does", "lakes to ice", "--terms", "as you like", "--weaknesses", "")
    said = run("info", "mine")
    assert "mine: lakes to ice" in said
    assert "terms: as you like" in said
    assert "weaknesses" not in said
    assert "images seen" in said  # the rest stays
    assert "There is nothing to write" in run("describe", "mine", code=1)
    assert "comes with the program" in run("describe", "summer2winter", "--does", "x", code=1)


def test_a_card_is_text_and_no_markup(run: Callable[..., str], tmp_path: Path) -> None:
    model = find_model("summer2winter")
    write_model(tmp_path / "odd.safetensors", replace(model, card={"does": "[/x] and [red]this"}))
    run("add", tmp_path / "odd.safetensors")
    assert "[/x] and [red]this" in run()


def test_a_card_does_not_steer_the_terminal(run: Callable[..., str], tmp_path: Path) -> None:
    model = find_model("summer2winter")
    card = {"does": "\x1b[2Jtidy\x9b", "terms": "\x1b]0;owned\x07free", "data\x1b[1m": "\x08none\r"}
    write_model(tmp_path / "odd.safetensors", replace(model, card=card))
    run("add", tmp_path / "odd.safetensors")
    for said in (run(), run("info", "odd")):
        assert "tidy" in said
        assert "free" in said
        assert all(letter.isprintable() for line in said.split("\n") for letter in line)


def test_a_checkpoint_becomes_a_model_and_goes_back(
    run: Callable[..., str], tmp_path: Path
) -> None:
    spec = GeneratorSpec(base_channels=4, blocks=2)
    file = _checkpoint(tmp_path / "horse zebra" / "latest_net_G.pth", spec)
    said = run("import", file)
    assert "horse-zebra is resnet, 4 channels, 2 blocks, instance norm; dropout: no" in said
    assert "Use it with --model horse-zebra" in said
    assert "imported from" in run()
    assert "horse-zebra already. Give another name with --name" in run("import", file, code=1)

    back = file.with_name("back.pth")
    assert "--ngf 4 --norm instance" in run("export", "horse-zebra", "-o", back)
    assert "exists already" in run("export", "horse-zebra", "-o", back, code=1)
    run("export", "horse-zebra", "-o", back, "--overwrite")
    original, again = (torch.load(path, weights_only=True) for path in (file, back))
    assert original.keys() == again.keys()
    assert all(torch.equal(original[key], again[key]) for key in original)


def test_a_unet_says_what_it_pads_to_and_takes_small_clips(
    run: Callable[..., str], cli: Cli, tmp_path: Path, clip: Path
) -> None:
    spec = GeneratorSpec("unet", base_channels=4, blocks=7, norm="batch")
    file = _checkpoint(tmp_path / "facades" / "200_net_G_A.pth", spec)
    said = run("import", file)
    assert "facades_A is unet, 4 channels, 7 halvings, batch norm" in said
    assert "multiples of 128" in said
    assert "--norm picture" in said
    told = run("info", "facades_A")
    assert "padded to 640x384" in told
    assert "whole frames only" in told
    assert "each picture's own" in run("import", file, "--norm", "picture", "--name", "other")

    result = cli("convert", clip, "--model", "facades_A", *SMALL)
    assert result.returncode == 0, result.stderr
    assert len(read_numbers(clip.with_name("in.facades_A.mp4"))) == 10


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nothing.pth"], "no file nothing.pth"),
        (["in.mp4"], "in.mp4 is not a checkpoint"),
        (["G.pth", "--norm", "group"], "Known: running, picture"),
        (["G.pth", "--norm", "picture"], "Leave --norm out"),
        (["G.pth", "--name", "../up"], "cannot be a model's name"),
        (["G.pth", "--name", "summer2winter"], "summer2winter already"),
    ],
)
def test_wrong_imports(
    run: Callable[..., str], tmp_path: Path, clip: Path, options: list[str], words: str
) -> None:
    _checkpoint(tmp_path / "G.pth", GeneratorSpec(base_channels=4, blocks=2))
    assert words in run("import", *options, code=1)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nobody", "-o", "out.pth"], "no model named 'nobody'"),
        (["summer2winter", "-o", "nowhere/out.pth"], "cannot be written"),
    ],
)
def test_wrong_exports(
    run: Callable[..., str], tmp_path: Path, options: list[str], words: str
) -> None:
    assert words in run("export", *options, code=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["import", "G.pth"], ["export", "summer2winter", "-o", "G"]])
def test_without_torch_the_install_line_is_said(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("cgvideo.cli.models.find_spec", lambda name: None)
    assert "pip install 'cgvideo[torch]'" in run(*command, code=1)
