"""Every decision of a training run, made before its first step."""

import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from engines.errors import UserError
from engines.model_file import CHECKPOINTS
from engines.spec import GeneratorSpec

Method = Literal["cyclegan", "pix2pix", "distill"]
Adversarial = Literal["lsgan", "vanilla", "hinge", "wgangp"]
Preprocess = Literal["resize_and_crop", "crop", "scale_width_and_crop", "zoom", "none"]
Policy = Literal["linear", "cosine", "step", "plateau", "constant"]
Initialisation = Literal["normal", "xavier", "kaiming", "orthogonal"]
DiscriminatorKind = Literal["patch", "pixel"]
TrainPrecision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A run. Units: pictures seen (one of each domain counts once), pixels, share of the whole run.

    Unpaired, `source` and `target` are folders of pictures, searched in depth. Paired, they are two
    folders with equal names, or one and the same folder of pictures side by side. Of a teacher's
    student ("distill") `target` is `source`.
    """

    name: str
    method: Method = "cyclegan"
    teacher: str | None = None
    """a model's name or file, whose translations a student learns ("distill")"""
    start_from: str | None = None
    """a model's name or file, a run's folder or one of its checkpoints: the weights to begin with"""

    source: Path
    target: Path
    test_source: Path | None = None
    test_target: Path | None = None
    swap: bool = False
    """of pictures side by side, the right one is the source ("BtoA")"""
    source_list: Path | None = None
    target_list: Path | None = None
    list_share: float = 1.0
    """of the pictures drawn, those that are named in the lists"""

    preprocess: Preprocess = "resize_and_crop"
    load_size: int = 286
    crop: int = 256
    flip: bool = True
    gray: bool = False

    family: Literal["resnet", "unet", "compact"] = "resnet"
    base_channels: int = 64
    blocks: int = 9
    norm: Literal["instance", "batch", "none"] = "instance"
    upsampling: Literal["transpose3", "transpose4", "resize", "subpixel"] = "transpose3"
    reduction: int = 4
    dropout: bool = False
    discriminator: DiscriminatorKind = "patch"
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    initialisation: Initialisation = "normal"
    gain: float = 0.02

    adversarial: Adversarial = "lsgan"
    cycle: float = 10.0
    identity: float = 0.5
    """share of `cycle`"""
    l1: float = 100.0
    pool: int = 50

    images: int = 240_000
    minutes: float | None = None
    """train for so long in place of so many pictures; the learning rate decays with the time"""
    batch: int = 1
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    policy: Policy = "linear"
    decay_from: float = 0.5
    """share of the run after which "linear" and "cosine" begin to fall"""
    average: int = 10_000
    """half-life of the averaged generator's weights, in pictures; 0 keeps none"""

    precision: TrainPrecision = "auto"
    device: str = "auto"
    seed: int = 0
    sample_every: int = 5_000
    evaluate_every: int = 20_000
    save_every: int = 5_000
    keep: int = 5

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TrainConfig).items():
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            if choices and getattr(self, name) not in choices:
                raise UserError(
                    f"{_flag(name)} {getattr(self, name)} is unknown",
                    f"Known: {', '.join(choices)}",
                )
        for name, least in (("load_size", 8), ("crop", 8), ("batch", 1), ("images", 1), ("keep", 1),
                            ("discriminator_channels", 1), ("discriminator_layers", 1),
                            ("sample_every", 1), ("evaluate_every", 1), ("save_every", 1),
                            ("pool", 0), ("average", 0)):  # fmt: skip
            if getattr(self, name) < least:
                raise UserError(
                    f"{_flag(name)} {getattr(self, name)} is too little", f"Give {least} or more"
                )
        for name in ("list_share", "decay_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{_flag(name)} {getattr(self, name)} is no share", "Give 0 to 1")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"{_flag(name)} {getattr(self, name)} is out of reach", "Give 0 to less than 1"
                )
        if not 0 <= self.seed < 1 << 63:
            raise UserError(f"--seed {self.seed} is out of reach", "Give 0 or more")
        if not self.name.strip(". ") or re.search(r"[/\\\x00-\x1f]", self.name):
            raise UserError(f"--name {self.name!r} cannot name a file", "Give letters and digits")
        for name in ("learning_rate", "gain"):
            if not 0 < getattr(self, name) < 100:
                raise UserError(f"{_flag(name)} {getattr(self, name)} is out of reach", "Give less")
        for name in ("cycle", "identity", "l1"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"{_flag(name)} {getattr(self, name)} is out of reach", "Give 0 or more"
                )
        if (self.method == "distill") != (self.teacher is not None):
            raise UserError("A teacher and the method distill go together", "See cgvideo distill")
        if self.method == "distill" and (self.dropout or self.adversarial != "lsgan"):
            raise UserError("distill knows no dropout, and lsgan alone", "Leave these settings out")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError(f"--minutes {self.minutes} is no time", "Give more than 0")
        by_load_size = self.preprocess in ("resize_and_crop", "scale_width_and_crop")
        if by_load_size and self.crop > self.load_size:
            raise UserError(
                f"--crop {self.crop} is more than --load-size {self.load_size}",
                "A crop is cut from a picture of the load size",
            )
        try:
            multiple = self.spec.multiple_of
        except UserError as error:
            raise UserError(
                error.problem, "Give another --base-channels, --blocks or --reduction"
            ) from error
        if self.crop % multiple or self.crop < self.least_size:
            least = math.ceil(self.least_size / multiple) * multiple
            raise UserError(
                f"--crop {self.crop} does not suit the networks",
                f"Give a multiple of {multiple}, at least {least}",
            )

    @property
    def spec(self) -> GeneratorSpec:
        """The generator, in both directions."""
        upsampling = self.upsampling if self.family == "resnet" else "transpose3"
        return GeneratorSpec(
            family=self.family,
            base_channels=self.base_channels,
            blocks=self.blocks,
            norm=self.norm,
            upsampling=upsampling,
            reduction=self.reduction if self.family == "compact" else 4,
        )

    @property
    def least_size(self) -> int:
        """The least height and width that both networks take."""
        # A PatchGAN halves the size so many times, then takes 1 off twice, and a norm needs two pixels.
        judged = 3 * 2**self.discriminator_layers if self.discriminator == "patch" else 1
        return max(self.spec.minimum_size, judged)

    @property
    def paired(self) -> bool:
        """Whether each picture of the source has its counterpart in the target."""
        return self.method == "pix2pix"

    @property
    def one_way(self) -> bool:
        """Whether there is no generator back."""
        return self.method != "cyclegan"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those that are None; `config_from` reads them back."""
        values = dataclasses.asdict(self)
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items()
            if value is not None
        }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Zhu et al. 2017 (arXiv 1703.10593), section 4 and appendix 7, as the reference project runs it.
    "cyclegan": {},
    # The same with 6 blocks, for pictures of 128 pixels.
    "cyclegan-128": {"blocks": 6, "load_size": 143, "crop": 128},
    # A tenth of the arithmetic, for video on a CPU: the size of the built-in models. Resizing cannot make
    # a checkerboard, and is as fast as a transposed convolution once it is written as one.
    "fast": {
        "base_channels": 24, "blocks": 6, "upsampling": "resize", "discriminator_channels": 32,
    },
    # The CycleGAN tutorial of TensorFlow: a U-Net with instance norm, cross entropy, no pool.
    "tf-tutorial": {
        "family": "unet", "blocks": 8, "adversarial": "vanilla", "pool": 0, "policy": "constant",
        "images": 40_000, "average": 0, "dropout": True,
    },
    # Isola et al. 2017 (arXiv 1611.07004), sections 3 and 6.1.
    "pix2pix": {
        "method": "pix2pix", "family": "unet", "blocks": 8, "norm": "batch", "dropout": True,
        "adversarial": "vanilla", "pool": 0, "images": 80_000, "average": 0,
    },
}  # fmt: skip

DISTILL: Mapping[str, Any] = {
    "method": "distill", "base_channels": 24, "blocks": 6, "upsampling": "transpose4",
    "discriminator_channels": 32, "preprocess": "zoom", "batch": 4, "learning_rate": 5e-4,
    "pool": 0, "policy": "cosine", "images": 60_000, "average": 1_000,
}  # fmt: skip
"""A student for video on a CPU; the teacher is not among it."""


def config_from(*layers: Mapping[str, Any]) -> TrainConfig:
    """A run from plain values, later layers winning: a preset, a file, the command line.

    Raises UserError for a name that means nothing, a value of the wrong kind, or one missing.
    """
    known = get_type_hints(TrainConfig)
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                close = [each for each in known if each.startswith(name[:4])]
                hint = f"Did you mean {close[0]}?" if close else "See cgvideo train --help"
                raise UserError(f"There is no setting {name!r}", hint)
            values[name] = _converted(name, known[name], value)
    if values.get("method") == "distill" and "source" in values:
        values["target"] = values["source"]
    for name in ("name", "source", "target"):
        if name not in values:
            raise UserError(
                f"{_flag(name)} is missing",
                "Give a folder that holds trainA and trainB, or --name, --source and --target",
            )
    return TrainConfig(**values)


MODELS = ("teacher", "start_from")
"""Settings that name a model of the library, or are a path."""


def names_path(model: str) -> bool:
    """Whether it is a path, not a model's name: as `engines.library.find_model` has it, or a run."""
    path = Path(model)
    return (
        path.name != model
        or path.suffix in (".safetensors", *CHECKPOINTS)
        or (path / "config.toml").is_file()
    )


def model_name(model: str) -> str:
    """What to call it where a path would tell too much: a model's name, or a run's."""
    path = Path(model)
    if not names_path(model):
        return model
    if path.suffix == ".pt":
        return f"{path.parent.parent.name}/{path.name}"
    return path.name.removesuffix(".safetensors")


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a TOML file; paths in it are relative to it. Raises UserError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error})", "Check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is no TOML ({error})",
            "Write NAME = VALUE, a line each, as config.toml of a run has it",
        ) from error
    for name in ("source", "target", "test_source", "test_target", "source_list", "target_list"):
        if isinstance(values.get(name), str):
            values[name] = str(path.parent / Path(values[name]).expanduser())
    for name in MODELS:
        if isinstance(values.get(name), str) and names_path(values[name]):
            values[name] = str(path.parent / Path(values[name]).expanduser())
    return values


def to_toml(config: TrainConfig) -> str:
    """The run as TOML; `read_settings` reads it back."""
    lines = []
    for name, value in config.to_dict().items():
        if isinstance(value, str):
            # JSON's escapes are TOML's too, but for the one character that it leaves alone.
            value = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        elif isinstance(value, bool):
            value = str(value).lower()
        lines.append(f"{name} = {value}")
    return "\n".join(lines) + "\n"


LONGER = ("images", "minutes")
"""What may change when a run goes on, upwards."""

ASIDE = ("device", "sample_every", "evaluate_every", "save_every", "keep")
"""What may change since no pixel depends on it (but see `differences`)."""


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """The settings by which `new` is another run than `old`, each as `--crop 256 → 128`."""
    told = []
    for option in fields(TrainConfig):
        before, after = getattr(old, option.name), getattr(new, option.name)
        longer = option.name in LONGER and before and after and after >= before
        # The learning rate of this policy goes by the evaluations.
        aside = option.name in ASIDE and (option.name, new.policy) != ("evaluate_every", "plateau")
        if before != after and not aside and not longer:
            told.append(f"{_flag(option.name)} {before} → {after}")
    return told


def resolved(config: TrainConfig) -> TrainConfig:
    """The run with its paths made absolute, so that it can go on from anywhere."""
    names = [name for name in config.to_dict() if isinstance(getattr(config, name), Path)]
    paths: dict[str, Any] = {name: getattr(config, name).resolve() for name in names}
    for name in MODELS:
        model = getattr(config, name)
        if model is not None and names_path(model):
            paths[name] = str(Path(model).expanduser().resolve())
    return replace(config, **paths)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _converted(name: str, kind: Any, value: Any) -> Any:
    """A plain value as the field wants it; raises UserError for one of the wrong kind."""
    kinds = [each for each in get_args(kind) if each is not type(None)] or [kind]
    wanted = str if get_origin(kind) is Literal else kinds[0]
    if value is None and type(None) in get_args(kind):
        return None
    accepted = {float: (int, float), Path: (str, Path)}.get(wanted, (wanted,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        raise UserError(f"{_flag(name)} cannot be {value!r}", "See cgvideo train --help")
    return wanted(value)
