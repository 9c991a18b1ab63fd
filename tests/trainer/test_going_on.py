"""A run that was interrupted, whenever and however, ends with the bytes of one that was not."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import CPU, make_domain, run, stops_after, tiny

from trainer import loop
from trainer.checkpoint import read_checkpoint
from trainer.log import read_log

CLOCKS = {"seconds", "pairs_a_second"}

UNET = {"family": "unet", "blocks": 4, "upsampling": "transpose3"}
KINDS: dict[str, dict[str, Any]] = {
    # Of 12 steps the pool of 3 is full after 3, and half of them are in the decay.
    "cyclegan": {},
    "dropout": {"dropout": True},
    "wgangp": {"adversarial": "wgangp", "images": 8},
    "batch norm": {"norm": "batch", "batch": 2, "images": 16},
    "pix2pix": {**UNET, "method": "pix2pix", "norm": "batch", "dropout": True},
    "unet": {**UNET, "adversarial": "vanilla", "dropout": True, "policy": "cosine"},
}


class Measured:
    """An evaluator that draws random numbers and whose results follow from the networks."""

    def __init__(self, *_: object) -> None: ...

    def __call__(self, averages: Any) -> dict[str, float]:
        torch.rand(3)
        np.random.default_rng().random()
        weights = next(averages["to_target"].network.parameters())
        return {"score": float(weights.abs().sum())}


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STATUS_SECONDS", -1)
    monkeypatch.setattr(loop, "Evaluator", Measured)


def same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, but for the clock."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - CLOCKS:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}.{number}")
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def outcome(folder: Path, images: int) -> dict[str, Any]:
    """All that a run leaves."""
    content = read_checkpoint(folder / "checkpoints" / f"{images:09}.pt")
    assert content is not None
    lines: dict[str, Any] = {}
    for line in read_log(folder / "log.jsonl"):
        kind = "score" if "score" in line else "losses"
        key = f"{kind} {line['images_seen']}"
        assert key not in lines, "logged twice"
        lines[key] = line
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in ("samples", "models")
        for path in (folder / kind).iterdir()
    }
    return {"content": content, "log": lines, "files": files}


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_random_steps_it_ends_the_same(domains: dict, tmp_path: Path, kind: str) -> None:
    config = tiny(domains, sample_every=5, evaluate_every=3, **KINDS[kind])
    run(config, tmp_path / "whole")
    whole = outcome(tmp_path / "whole", config.images)
    random = np.random.default_rng(len(kind))
    for attempt in range(2):
        folder = tmp_path / f"again{attempt}"
        for _ in range(3):
            run(config, folder, stop=stops_after(int(random.integers(0, 5))))
        run(config, folder)
        same(outcome(folder, config.images), whole)


def test_it_does_so_when_pictures_are_read_by_workers(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(domains)
    run(config, tmp_path / "whole")
    monkeypatch.setattr("trainer.pictures.MEMORY_BYTES", 0)
    run(config, tmp_path / "again", stop=stops_after(5))
    run(config, tmp_path / "again")
    same(outcome(tmp_path / "again", 12), outcome(tmp_path / "whole", 12))


@pytest.mark.parametrize("adversarial", ["lsgan", "wgangp"])
def test_it_does_so_in_bf16_and_channels_last(
    domains: dict, tmp_path: Path, adversarial: str
) -> None:
    half = dataclasses.replace(CPU, bf16=True, channels_last=True)
    config = tiny(domains, adversarial=adversarial, dropout=True, sample_every=5, batch=2)
    run(config, tmp_path / "whole", hardware=half)
    for steps in (3, 1):
        run(config, tmp_path / "again", stop=stops_after(steps), hardware=half)
    run(config, tmp_path / "again", hardware=half)
    same(outcome(tmp_path / "again", 12), outcome(tmp_path / "whole", 12))


def test_the_pool_has_turned_over_in_these_runs(domains: dict, tmp_path: Path) -> None:
    run(tiny(domains), tmp_path)
    early, late = (read_checkpoint(tmp_path / "checkpoints" / f"{seen:09}.pt") for seen in (4, 12))
    assert early is not None
    assert late is not None
    for domain in ("source", "target"):
        kept = [each["pools"][domain]["kept"] for each in (early, late)]
        assert len(kept[0]) == len(kept[1]) == 3
        assert not all(torch.equal(a, b) for a, b in zip(*kept, strict=True))


def test_a_longer_run_goes_on_from_a_shorter(domains: dict, tmp_path: Path) -> None:
    run(tiny(domains, images=12, policy="constant"), tmp_path / "whole")
    run(tiny(domains, images=8, policy="constant"), tmp_path / "again")
    run(tiny(domains, images=12, policy="constant"), tmp_path / "again")
    one, other = (outcome(tmp_path / name, 12)["content"] for name in ("whole", "again"))
    del one["state"], other["state"]  # the shorter one was measured at its end
    same(other, one)


def test_lines_after_the_last_checkpoint_are_written_again(domains: dict, tmp_path: Path) -> None:
    config = tiny(domains)
    run(config, tmp_path / "whole")

    asked = iter(range(99))

    def dies() -> bool:
        if next(asked) == 6:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(
            config,
            tmp_path / "again",
            stop=dies,
        )
    seen = [line["images_seen"] for line in read_log(tmp_path / "again" / "log.jsonl")]
    assert seen[-1] > 4
    with (tmp_path / "again" / "log.jsonl").open("a") as log:
        log.write('{"images_seen": 7, "cyc')
    run(config, tmp_path / "again")
    same(outcome(tmp_path / "again", 12)["log"], outcome(tmp_path / "whole", 12)["log"])


DYING = """
import sys, os, signal
from pathlib import Path
import torch
from tiny_run import run, tiny
from trainer import loop
torch.set_num_threads(1)
where, at, folder, *domains = sys.argv[1:]
calls = 0
def dies(real):
    def patched(*arguments, **options):
        global calls
        calls += 1
        if calls == int(at):
            if where == "torch.save":  # in the middle of the file
                real(*arguments, **options)
                path = Path(arguments[1])
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return patched
if where == "torch.save":
    torch.save = dies(torch.save)
elif where == "replace":
    Path.replace = dies(Path.replace)
names = ("source", "target", "test_source", "test_target")
run(tiny(dict(zip(names, domains)), sample_every=5), Path(folder))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "at"), [("torch.save", 1), ("torch.save", 2), ("replace", 3), ("replace", 8)]
)
def test_killed_during_a_save_it_ends_the_same(
    domains: dict, tmp_path: Path, where: str, at: int
) -> None:
    config = tiny(domains, sample_every=5)
    run(config, tmp_path / "whole")
    command = [sys.executable, "-c", DYING, where, str(at), str(tmp_path / "again")]
    child = subprocess.run(
        [*command, *domains.values()],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    run(config, tmp_path / "again")
    one, other = (outcome(tmp_path / name, 12) for name in ("whole", "again"))
    same(other["content"], one["content"])
    assert other["files"] == one["files"]
    names = [path.name for path in (tmp_path / "again").rglob("*")]
    assert not any("partial" in name for name in names)


@pytest.mark.slow
def test_it_ends_the_same_with_several_threads(tmp_path: Path) -> None:
    """Convolutions over several threads add up in the same order each time."""
    domains = {
        "source": str(make_domain(tmp_path / "A", 4, size=(72, 72))),
        "target": str(make_domain(tmp_path / "B", 4, (1, 0.5, 0), (72, 72))),
    }
    config = tiny(domains, load_size=72, crop=64, base_channels=8, images=8, save_every=4)
    torch.set_num_threads(2)
    try:
        run(config, tmp_path / "whole")
        run(config, tmp_path / "again", stop=stops_after(5))
        run(config, tmp_path / "again")
    finally:
        torch.set_num_threads(1)
    same(outcome(tmp_path / "again", 8), outcome(tmp_path / "whole", 8))
