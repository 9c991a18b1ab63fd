"""Where a run's weights begin, if not at random: fine-tuning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from engines.errors import UserError
from engines.model_file import Model, read_model
from engines.network import Generator
from engines.spec import GeneratorSpec
from trainer.checkpoint import Checkpoints, Trained, read_checkpoint
from trainer.config import TrainConfig
from trainer.distill import find_teacher
from trainer.publish import name_back

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Start:
    """Weights by the names of `Trained.networks` and `Trained.averages`, and where they are from."""

    origin: str
    networks: Mapping[str, Weights]
    averages: Mapping[str, Weights]

    def give(self, trained: Trained) -> None:
        """Put them into the networks; what is not among them stays as it is.

        Optimisers and pools begin anew. Raises UserError for networks of other shapes.
        """
        averages = {name: each.network for name, each in trained.averages.items()}
        for networks, all_weights in ((trained.networks, self.networks), (averages, self.averages)):
            for name, network in networks.items():
                weights = all_weights.get(name)
                if weights is None:
                    continue
                own = {key: each.shape for key, each in network.state_dict().items()}
                if own != {key: each.shape for key, each in weights.items()}:
                    raise UserError(
                        f"{name} of {self.origin} has other layers than {name} of this run",
                        "Give the --discriminator settings of the former",
                    )
                network.load_state_dict(weights)


def read_start(config: TrainConfig) -> Start:
    """The weights that `config.start_from` names.

    Of a run, all networks and averages of its newest checkpoint, or of the one that is named; where
    it was trained by another method, the generators alone. Of a model file, its generator, and that
    of its counterpart beside it, see `name_back`.

    Raises UserError where there is no such thing, or its generators are of another architecture.
    """
    # Here, since runs from the beginning do without the packages behind these.
    from engines.library import find_model
    from trainer.run import SETTINGS

    assert config.start_from is not None
    path = Path(config.start_from)
    run = path.parent.parent if path.suffix == ".pt" else path
    if (run / SETTINGS).is_file():
        return _of_run(config, run, path)
    return _of_model(config, find_model(config.start_from))


def check_models(config: TrainConfig, folder: Path) -> None:
    """Raise UserError where a run that begins in `folder` could not read the models that it needs."""
    if Checkpoints(folder / "checkpoints").found():
        return  # what it began with may be gone
    if config.start_from is not None:
        read_start(config)
    if config.teacher is not None:
        find_teacher(config)


def _of_run(config: TrainConfig, run: Path, path: Path) -> Start:
    from trainer.run import run_config

    theirs = run_config(run)
    _check(str(run), theirs.spec, config)
    paths = [path] if path != run else reversed(Checkpoints(run / "checkpoints").found())
    content = next(filter(None, map(read_checkpoint, paths)), None)
    if content is None:
        raise UserError(
            f"{path} holds no checkpoint that can be read", "Give another with --start-from"
        )
    networks, averages = content["networks"], content["averages"]
    if theirs.method != config.method:
        networks = {name: networks[name] for name in averages}
    return Start(str(run), networks, averages)


def _of_model(config: TrainConfig, model: Model) -> Start:
    _check(model.name, model.spec, config)
    found = {"to_target": model}
    assert model.path is not None
    beside = model.path.with_name(name_back(model.name) + model.path.suffix)
    if not config.one_way and beside.is_file():
        found["to_source"] = read_model(beside)
        _check(beside.stem, found["to_source"].spec, config)
    weights = {name: Generator.of(each).state_dict() for name, each in found.items()}
    return Start(model.name, weights, weights)


def _check(origin: str, theirs: GeneratorSpec, config: TrainConfig) -> None:
    if theirs != config.spec:
        raise UserError(
            f"{origin} is a {theirs.description}; this run is a {config.spec.description}",
            "Give the same --base-channels, --blocks and so on, or leave --start-from out",
        )
