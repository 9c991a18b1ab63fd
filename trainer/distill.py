"""A small student of a trained generator: the same translation for a share of the arithmetic."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.atomic import replacing
from engines.errors import UserError
from engines.model_file import Model, read_model
from engines.network import Generator
from trainer.average import Average
from trainer.config import TrainConfig, model_name
from trainer.cyclegan import adam, judge, learn, make_ready, sum_of
from trainer.hardware import Hardware
from trainer.losses import distance, for_discriminator, for_generator
from trainer.pool import Pool

SLOPES = 1.0
"""Weight of the differences' L1: edges count as much as values."""

ADVERSARIAL = 0.02
"""Weight of the discriminator's verdict, which tells a student from its teacher: enough to keep
texture, not enough to invent any."""

INHERITED = ("does", "data", "terms")
"""What a student's card has of its teacher's."""


class Distillation:
    """Trains a student on what a teacher makes of the same pictures (after Hinton et al. 2015).

    L1 between both translations and between their differences of neighbouring pixels, and a light
    LSGAN term in which the teacher's translations are the real ones. The teacher's own norms go by
    each crop, as the student's do.
    """

    def __init__(self, config: TrainConfig, hardware: Hardware, teacher: Model) -> None:
        self._config, self._hardware, self._model = config, hardware, teacher
        self.teacher = Generator.of(teacher).requires_grad_(False)
        self.teacher.mean = self.teacher.std = None
        self.to_target, self.judge = Generator(config.spec), judge(config)
        make_ready(self.networks.values(), config, hardware)
        hardware.place(self.teacher)
        self.averages = {"to_target": Average(self.to_target, config.average)}
        self.pools: Mapping[str, Pool] = {}
        self.optimisers = {
            "generators": adam([*self.to_target.parameters()], config),
            "discriminators": adam([*self.judge.parameters()], config),
        }

    def card(self, measures: Mapping[str, float]) -> dict[str, str]:
        """What a student's card says of its teacher; `measures` are those of `metrics.Likeness`.

        What was said of the teacher's purpose, data and terms holds for what it taught.
        """
        config, crop = self._config, self._config.crop
        share = config.spec.macs(crop, crop) / self._model.spec.macs(crop, crop)
        mean, worst = measures["psnr_to_teacher"], measures["worst_psnr_to_teacher"]
        of = "training" if measures["on_training_pictures"] else "test"
        inherited = {key: self._model.card[key] for key in INHERITED if key in self._model.card}
        return inherited | {
            "teacher": model_name(str(config.teacher)),
            "teacher_sha256": self._model.sha256,
            "psnr_to_teacher": f"{mean:.1f} dB, at worst {worst:.1f} dB, on"
            f" {measures['pictures_measured']:.0f} {of} pictures",
            "share_of_teacher": f"{100 * share:.1f} % of its arithmetic",
        }

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """All that learns, by name."""
        return {"to_target": self.to_target, "judge": self.judge}

    def step(self, source: Tensor, target: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Learn from pictures `[N, 3, H, W]` in [-1, 1]; `target` is not looked at."""
        batch = len(source) * self._hardware.ranks.count
        if self._hardware.channels_last:
            source = source.contiguous(memory_format=torch.channels_last)
        with self._hardware.computing():
            with torch.no_grad():
                wanted = self.teacher(source)
            made = self.to_target(source)
            self.judge.requires_grad_(False)
            on_made = self.judge(made)
            self.judge.requires_grad_(True)
        losses = {
            "l1": distance(made, wanted),
            "slopes": SLOPES * slopes(made, wanted),
            "adversarial_target": ADVERSARIAL * for_generator("lsgan", on_made),
        }
        learn(self.optimisers["generators"], sum_of(losses), self._hardware.ranks)
        with self._hardware.computing():
            of_wanted, of_made = self.judge(wanted), self.judge(made.detach())
        verdict = {"discriminator_target": for_discriminator("lsgan", of_wanted, of_made)}
        learn(self.optimisers["discriminators"], sum_of(verdict), self._hardware.ranks)
        self.averages["to_target"].update(self.to_target, images_seen, batch)
        return {name: loss.detach() for name, loss in (losses | verdict).items()}


def slopes(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 between the differences of neighbours, downwards plus to the right."""
    down, right = (
        distance(made.float().diff(dim=axis), wanted.float().diff(dim=axis)) for axis in (2, 3)
    )
    return down + right


def find_teacher(config: TrainConfig) -> Model:
    """The model that teaches. Raises UserError where there is none, or not for such crops."""
    from engines.library import find_model  # training alone does without the packages behind it

    assert config.teacher is not None
    model = find_model(config.teacher)
    multiple, least = model.spec.multiple_of, model.spec.minimum_size
    if config.crop % multiple or config.crop < least:
        raise UserError(
            f"--crop {config.crop} does not suit the teacher {model.name}",
            f"Give a multiple of {multiple}, at least {least}",
        )
    return model


def kept_teacher(config: TrainConfig, folder: Path) -> Model:
    """The teacher as it was when the run began: a copy of its file stays in the run's folder."""
    path = folder / "teacher.safetensors"
    if not path.is_file():
        found = find_teacher(config)
        assert found.path is not None
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            shutil.copyfile(found.path, scratch)
    return read_model(path)
