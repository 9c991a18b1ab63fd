"""Several processes train as one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import CPU, run, stops_after, tiny

from engines.errors import UserError
from trainer import loop
from trainer.checkpoint import read_checkpoint
from trainer.config import to_toml
from trainer.data import read_data
from trainer.distributed import together
from trainer.log import read_log
from trainer.loop import Watch, train
from trainer.run import resolved

STEPS = 20


def several(config: Any, folder: Path, **watch: Any) -> None:
    """Train as two processes."""
    with together(config, folder, CPU, 2) as first:
        train(config, read_data(config), first, folder, Watch(**watch))


def losses(folder: Path) -> list[dict[str, float]]:
    return [line for line in read_log(folder / "log.jsonl") if "cycle_source" in line]


@pytest.mark.slow
# A pool shows translations again, and what rounding did to them.
@pytest.mark.parametrize(("pool", "apart"), [(0, 1e-4), (3, 1e-3)])
def test_two_processes_have_the_losses_of_one(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: int, apart: float
) -> None:
    monkeypatch.setattr(loop, "STATUS_SECONDS", -1)
    # Without a norm: with it rounding alone, as of a bias that the norm takes off again, grows to
    # differences of 0.1 in 20 steps, also from one process to one with weights 1e-7 off.
    config = tiny(
        domains, batch=2, images=2 * STEPS, evaluate_every=100, norm="none",
        initialisation="kaiming", gain=1.0, pool=pool,
    )  # fmt: skip
    run(config, tmp_path / "one")
    several(config, tmp_path / "two")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == STEPS
    for line, other in zip(one, two, strict=True):
        del line["pairs_a_second"]
        assert other.items() > {"images_seen": line["images_seen"]}.items()
        for name, value in line.items():
            assert other[name] == pytest.approx(value, rel=apart, abs=apart), name


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"adversarial": "wgangp"}, {"method": "pix2pix"}])
def test_gradients_are_those_of_the_whole_batch(
    domains: dict, tmp_path: Path, changes: dict
) -> None:
    config = tiny(domains, batch=2, images=2, **changes)
    run(config, tmp_path / "one")
    several(config, tmp_path / "two")
    one, two = (
        read_checkpoint(tmp_path / name / "checkpoints" / "000000002.pt") for name in ("one", "two")
    )
    assert one is not None
    assert two is not None
    for name, optimiser in one["optimisers"].items():
        largest = max(float(kept["exp_avg"].abs().max()) for kept in optimiser["state"].values())
        for number, kept in optimiser["state"].items():
            # After one step the first moment is half of the gradient.
            theirs = two["optimisers"][name]["state"][number]["exp_avg"]
            assert torch.allclose(kept["exp_avg"], theirs, rtol=0, atol=1e-4 * largest), name


@pytest.mark.slow
def test_stopped_in_between_they_end_with_the_same_bytes(domains: dict, tmp_path: Path) -> None:
    config = tiny(domains, batch=2, images=16)
    several(config, tmp_path / "whole")
    several(config, tmp_path / "again", stop=stops_after(5))
    several(config, tmp_path / "again")
    one, two = (
        read_checkpoint(tmp_path / name / "checkpoints" / "000000016.pt")
        for name in ("whole", "again")
    )
    assert one is not None
    assert two is not None
    assert len(one["pools"]["target"]["kept"]) == 3
    for kind in ("networks", "averages"):
        for name, weights in one[kind].items():
            for key, values in weights.items():
                assert torch.equal(values, two[kind][name][key]), f"{name}.{key}"
    for name, pool in one["pools"].items():
        assert all(map(torch.equal, pool["kept"], two["pools"][name]["kept"])), name


@pytest.mark.slow
def test_an_error_of_the_other_process_ends_both_in_a_line(domains: dict, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    config = tiny(domains, batch=2)

    def broken(*_: object) -> None:
        raise RuntimeError("our own")

    with pytest.raises(RuntimeError, match="our own"):
        several(config, tmp_path, written=broken)
    nowhere = tiny({**domains, "source": str(tmp_path / "none")}, batch=2)
    with pytest.raises(UserError, match="none") as raised, together(nowhere, tmp_path, CPU, 2):
        pass
    assert "\n" not in str(raised.value)
    assert len(list(checkpoints.glob("*.pt"))) == 1


@pytest.mark.slow
def test_by_torchrun_and_stopped_by_a_signal(domains: dict, tmp_path: Path) -> None:
    config = resolved(
        tiny(
            domains,
            batch=2,
            images=100_000,
            save_every=100_000,
            sample_every=1 << 40,
            evaluate_every=1 << 40,
        )
    )
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "trainer", str(tmp_path / "config.toml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    started = subprocess.Popen([*command, "-o", str(tmp_path)], env=environment)
    try:
        for _ in range(400):
            if losses(tmp_path):
                break
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        started.wait(40)
    finally:
        started.kill()
    assert losses(tmp_path)
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1


def test_what_cannot_be_split_is_told(domains: dict, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="--batch 3 cannot be split over 2 devices"),
        together(tiny(domains, batch=3), tmp_path, CPU, 2),
    ):
        pass
    with (
        pytest.raises(UserError, match="--norm instance"),
        together(tiny(domains, batch=2, norm="batch"), tmp_path, CPU, 2),
    ):
        pass


def test_one_process_alone_exchanges_nothing(domains: dict, tmp_path: Path) -> None:
    with together(tiny(domains), tmp_path, CPU, 1) as hardware:
        assert hardware is CPU
        assert not torch.distributed.is_initialized()
