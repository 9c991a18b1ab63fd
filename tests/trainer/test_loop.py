"""A run reports, keeps and stops as it should, and never keeps what is ruined."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_run import CPU, make_domain, run, stops_after, tiny

from engines.errors import UserError
from engines.model_file import read_model
from trainer import loop
from trainer.checkpoint import TrainState, read_checkpoint
from trainer.cyclegan import CycleGan
from trainer.data import read_data
from trainer.log import read_log
from trainer.loop import Watch, due, share_done, train


class Score:
    """An evaluator with results made up, one after the other."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = iter(scores)

    def __call__(self, *_: object) -> "Callable[[object], dict[str, float]]":
        return lambda averages: {"score": next(self.scores)}


def numbers(folder: Path, suffix: str) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(f"*{suffix}") if path.stem.isdigit())


def test_everything_is_done_at_its_time(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Evaluator", Score([0.1, 0.2, 0.3]))
    config = tiny(domains, sample_every=5, evaluate_every=6, save_every=4, images=13)
    written: list[Path] = []
    run(config, tmp_path, written=written.append)
    assert numbers(tmp_path / "samples", ".png") == [5, 10, 13]
    # Each evaluation was the best so far, and so was saved too.
    assert numbers(tmp_path / "checkpoints", ".pt") == [4, 6, 8, 12, 13]
    assert [line["images_seen"] for line in read_log(tmp_path / "log.jsonl") if "score" in line] == [
        6, 12, 13,
    ]  # fmt: skip
    assert len(written) == 8
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "blue2orange.safetensors",
        "orange2blue.safetensors",
    ]
    assert read_model(tmp_path / "models" / "orange2blue.safetensors").card["images_seen"] == "13"


@pytest.mark.parametrize("batch", [2, 5])
def test_with_batches_the_first_after_a_multiple_counts(
    domains: dict, tmp_path: Path, batch: int
) -> None:
    run(tiny(domains, batch=batch, sample_every=3, images=12), tmp_path)
    multiples = {2: [4, 6, 10, 12], 5: [5, 10, 15]}
    assert numbers(tmp_path / "samples", ".png") == multiples[batch]


def test_due_is_what_a_step_passed() -> None:
    times = [seen for seen in range(0, 40, 4) if due(6, max(seen - 4, 0), TrainState(seen), False)]
    assert times == [8, 12, 20, 24, 32, 36]
    assert due(6, 4, TrainState(5), True)
    assert not due(6, 5, TrainState(5), True)
    assert not due(6, 6, TrainState(6), False)


def test_a_run_by_the_clock_ends_with_it(domains: dict) -> None:
    config = tiny(domains, minutes=2)
    assert share_done(config, TrainState(10**9, 60.0)) == 0.5
    assert share_done(config, TrainState(0, 130.0)) == 1
    assert share_done(tiny(domains), TrainState(6, 1e9)) == 0.5


def test_a_run_that_is_over_does_nothing_again(domains: dict, tmp_path: Path) -> None:
    config = tiny(domains, images=4)
    run(config, tmp_path)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()}
    written: list[Path] = []
    run(config, tmp_path, written=written.append)
    assert written == []
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == {path: content for path, (_, content) in before.items()}


def test_models_that_were_not_written_in_time_are_written_later(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_publish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tiny(domains, images=3), tmp_path)
    run(tiny(domains, images=3), tmp_path)
    assert read_model(tmp_path / "models" / "blue2orange.safetensors").card["images_seen"] == "3"


def test_a_stop_before_the_first_step_leaves_nothing(domains: dict, tmp_path: Path) -> None:
    run(tiny(domains), tmp_path, stop=lambda: True)
    assert numbers(tmp_path / "checkpoints", ".pt") == []


def test_losses_are_told_and_logged(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STATUS_SECONDS", -1)
    config, told = tiny(domains, images=3), []
    watch = Watch(progress=lambda state, share, losses, speed: told.append((share, dict(losses))))
    train(config, read_data(config), CPU, tmp_path, watch)
    lines = [line for line in read_log(tmp_path / "log.jsonl") if "cycle_source" in line]
    assert [line["images_seen"] for line in lines] == [1, 2, 3]
    assert [share for share, _ in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert lines[-1].items() >= told[-1][1].items()
    assert len(told[-1][1]) == 8


def test_the_learning_rate_falls_as_told(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    step = CycleGan.step

    def noted(self: CycleGan, *arguments: Any) -> Any:
        rates.extend(
            group["lr"] for each in self.optimisers.values() for group in each.param_groups
        )
        return step(self, *arguments)

    monkeypatch.setattr(CycleGan, "step", noted)
    run(tiny(domains, images=8, learning_rate=0.001), tmp_path)
    shares = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates[::2] == rates[1::2] == pytest.approx([0.001 * share for share in shares])


def breaks(at: int, monkeypatch: pytest.MonkeyPatch, how: Callable[[CycleGan, dict], None]) -> None:
    """From that many pictures on, something goes wrong after a step."""
    step = CycleGan.step

    def broken(self: CycleGan, source: Any, target: Any, images_seen: int) -> Any:
        losses = step(self, source, target, images_seen)
        if images_seen >= at:
            how(self, losses)
        return losses

    monkeypatch.setattr(CycleGan, "step", broken)


@pytest.mark.parametrize(
    ("value", "told"), [(float("nan"), "not a number"), (float("inf"), "inf"), (-3e7, "-3e+07")]
)
def test_losses_that_are_lost_end_the_run(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, told: str
) -> None:
    breaks(5, monkeypatch, lambda _, losses: losses.update(cycle_source=torch.tensor(value)))
    with pytest.raises(UserError) as raised:
        run(tiny(domains), tmp_path)
    assert "\n" not in str(raised.value)
    assert f"cycle_source is {told}; the last good checkpoint is 000000004.pt" in str(raised.value)
    assert numbers(tmp_path / "checkpoints", ".pt") == [4]


def ruin(method: CycleGan, losses: dict) -> None:
    with torch.no_grad():
        method.judge_source[0].weight[0, 0, 0, 0] = float("nan")


def test_ruined_weights_are_never_kept(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of a step are those of the weights before it: they are still well."""
    breaks(7, monkeypatch, ruin)
    with pytest.raises(UserError, match=r"after 8 pictures weights of judge_source are not finite"):
        run(tiny(domains), tmp_path)
    assert numbers(tmp_path / "checkpoints", ".pt") == [4]
    monkeypatch.undo()
    run(tiny(domains), tmp_path)
    assert numbers(tmp_path / "checkpoints", ".pt") == [4, 8, 12]


def test_without_a_checkpoint_one_begins_anew(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(0, monkeypatch, ruin)
    with pytest.raises(UserError, match=r"Start anew with a smaller --learning-rate$"):
        run(tiny(domains), tmp_path)


def test_the_best_is_that_of_the_highest_score(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Evaluator", Score([float("nan"), 0.3, 0.5, 0.4, 0.5, 0.1]))
    run(tiny(domains, evaluate_every=2, images=12), tmp_path)
    best = read_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert best is not None
    assert (best["state"]["best"], best["state"]["best_at"]) == (0.5, 6)
    last = read_checkpoint(tmp_path / "checkpoints" / "000000012.pt")
    assert last is not None
    assert last["state"]["since_better"] == 3


def test_a_plateau_lowers_the_rate_after_five_that_are_no_better(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Evaluator", Score([0.5] * 12))
    run(tiny(domains, evaluate_every=1, policy="plateau", images=12), tmp_path)
    last = read_checkpoint(tmp_path / "checkpoints" / "000000012.pt")
    assert last is not None
    assert last["state"]["drops"] == 2
    assert last["optimisers"]["generators"]["param_groups"][0]["lr"] == pytest.approx(2e-4 * 0.2**2)


@pytest.mark.parametrize("target", ["write_model", "sample_sheet", "Log.write"])
def test_a_full_disk_is_one_line_and_loses_nothing(
    domains: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    config = tiny(domains, sample_every=6)
    run(config, tmp_path, stop=stops_after(5))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    place = {
        "write_model": "trainer.publish.write_model",
        "sample_sheet": "trainer.loop.sample_sheet",
        "Log.write": "trainer.log.Log.write",
    }[target]
    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        with pytest.raises(UserError, match="No space left on device") as raised:
            run(config, tmp_path)
    assert "\n" not in str(raised.value)
    run(config, tmp_path)
    assert numbers(tmp_path / "checkpoints", ".pt")[-1] == 12


@pytest.mark.parametrize("changes", [
    {"family": "unet", "blocks": 4, "upsampling": "transpose3"},
    {"family": "unet", "blocks": 4, "method": "pix2pix", "norm": "batch"},
    {"preprocess": "crop"}, {"preprocess": "scale_width_and_crop"}, {"preprocess": "none"},
    {"gray": True}, {"norm": "batch"}, {"norm": "none"}, {"adversarial": "wgangp"},
    {"discriminator": "pixel", "upsampling": "resize"}, {"dropout": True, "average": 0},
])  # fmt: skip
def test_every_kind_of_run_goes_to_its_end_without_test_pictures(
    tmp_path: Path, changes: dict
) -> None:
    """Samples and statistics are of training pictures then, of sizes the networks take."""
    folders = {
        "source": str(make_domain(tmp_path / "A", 3, size=(43, 50))),
        "target": str(make_domain(tmp_path / "B", 3, size=(43, 50))),
    }
    config = tiny(folders, images=3, load_size=35, **changes)
    run(config, tmp_path / "run")
    assert numbers(tmp_path / "run" / "samples", ".png") == [3]
    with Image.open(tmp_path / "run" / "samples" / "000000003.png") as sheet:
        assert sheet.height > 3 * 30
    read_model(tmp_path / "run" / "models" / "blue2orange.safetensors")
