"""`cgvideo train`: two folders of pictures become a generator."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cgvideo.cli.completing import models, words
from cgvideo.cli.reports import INTERRUPTED, emit, say
from engines.errors import UserError

if TYPE_CHECKING:
    from trainer.config import TrainConfig


def train(
    data: Path | None = typer.Argument(
        None,
        metavar="DATA",
        help="Folder with trainA and trainB (testA, testB); paired: train (test).",
    ),
    name: str | None = typer.Option(None, help="Of the model, and of the run's folder."),
    preset: str = typer.Option(
        "cyclegan",
        help="cyclegan, cyclegan-128, fast (small, for video), tf-tutorial, pix2pix.",
        autocompletion=words("cyclegan", "cyclegan-128", "fast", "tf-tutorial", "pix2pix"),
    ),
    config: Path | None = typer.Option(
        None, help="Settings in TOML, by the names of these options with underscores."
    ),
    source: Path | None = typer.Option(None, help="Folder of pictures (or a video) to translate."),
    target: Path | None = typer.Option(None, help="Folder of pictures (or a video) to be like."),
    test_source: Path | None = typer.Option(None, help="Pictures to measure on."),
    test_target: Path | None = typer.Option(None, help="Pictures to measure on."),
    direction: str | None = typer.Option(None, help="AtoB, or BtoA: the other way round."),
    source_list: Path | None = typer.Option(
        None, "--source-list", "--list-source", help="File of names to draw from more often."
    ),
    target_list: Path | None = typer.Option(
        None, "--target-list", "--list-target", help="File of names to draw from more often."
    ),
    list_share: float | None = typer.Option(None, help="Share drawn from the lists. Default: 1."),
    preprocess: str | None = typer.Option(
        None, help="resize_and_crop, crop, scale_width_and_crop, zoom (windows of all sizes), none."
    ),
    load_size: int | None = typer.Option(None, help="Pictures are scaled to it. Default: 286."),
    crop: int | None = typer.Option(None, help="Side of what is cut from them. Default: 256."),
    flip: bool | None = typer.Option(None, "--flip/--no-flip", help="Mirror half of them."),
    gray: bool | None = typer.Option(None, "--gray/--color", help="Learn from grey pictures."),
    family: str | None = typer.Option(None, help="resnet, unet or compact."),
    base_channels: int | None = typer.Option(None, help="Of the generator. Default: 64."),
    blocks: int | None = typer.Option(None, help="Residual blocks, or halvings. Default: 9."),
    norm: str | None = typer.Option(None, help="instance, batch or none."),
    upsampling: str | None = typer.Option(None, help="transpose3, transpose4, resize or subpixel."),
    reduction: int | None = typer.Option(None, help="Of a compact generator: 4 or 8. Default: 4."),
    dropout: bool | None = typer.Option(None, "--dropout/--no-dropout", help="In the generator."),
    discriminator: str | None = typer.Option(None, help="patch or pixel."),
    discriminator_channels: int | None = typer.Option(None, help="Default: 64."),
    discriminator_layers: int | None = typer.Option(None, help="3 sees 70x70 pixels. Default: 3."),
    initialisation: str | None = typer.Option(None, help="normal, xavier, kaiming, orthogonal."),
    gain: float | None = typer.Option(None, help="Of the initialisation. Default: 0.02."),
    adversarial: str | None = typer.Option(None, help="lsgan, vanilla, hinge or wgangp."),
    cycle: float | None = typer.Option(None, help="Weight of the cycle loss. Default: 10."),
    identity: float | None = typer.Option(None, help="Of identity, times cycle. Default: 0.5."),
    l1: float | None = typer.Option(None, help="Weight of L1 in pix2pix. Default: 100."),
    pool: int | None = typer.Option(None, help="Past translations shown again. Default: 50."),
    images: int | None = typer.Option(None, help="Pictures to see. Default: 240000."),
    epochs: float | None = typer.Option(None, help="Times all pictures, in place of --images."),
    minutes: float | None = typer.Option(None, help="Time to train, in place of --images."),
    batch: int | None = typer.Option(None, help="Pictures a step. Default: 1."),
    learning_rate: float | None = typer.Option(None, help="Default: 0.0002."),
    policy: str | None = typer.Option(None, help="linear, cosine, step, plateau, constant."),
    decay_from: float | None = typer.Option(None, help="Share of the run. Default: 0.5."),
    average: int | None = typer.Option(None, help="Half-life of the kept weights, in pictures."),
    start_from: str | None = typer.Option(
        None,
        help="Fine-tune: a model's name or file, a run's folder or a checkpoint in it.",
        autocompletion=models,
    ),
    precision: str | None = typer.Option(None, help="auto, fp32 or bf16."),
    device: str | None = typer.Option(None, help="auto, cpu, cuda, cuda:N."),
    seed: int | None = typer.Option(None, help="Default: 0."),
    sample_every: int | None = typer.Option(None, help="Pictures between sheets. Default: 5000."),
    evaluate_every: int | None = typer.Option(None, help="Between measures. Default: 20000."),
    save_every: int | None = typer.Option(None, help="Between checkpoints. Default: 5000."),
    keep: int | None = typer.Option(None, help="Checkpoints to keep. Default: 5."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The run's folder. Default: runs/NAME."
    ),
    devices: int = typer.Option(1, help="Processes that share each batch: a GPU each."),
    benchmark: float | None = typer.Option(
        None, metavar="SECONDS", help="Measure for so long how fast it would train, and stop."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, and stop."),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Train a generator, both ways at once, from two folders of pictures.

    The same command again goes on where it stopped, whatever stopped it. The model can be used under
    its name at once: cgvideo convert in.mp4 --model NAME.
    """
    given = dict(locals())
    with needs_torch():
        from trainer.config import PRESETS, config_from, read_settings
        from trainer.run import layout
    for extra in (
        "data",
        "preset",
        "config",
        "direction",
        "epochs",
        "output",
        "devices",
        "benchmark",
        "dry_run",
        "as_json",
        "debug",
    ):
        del given[extra]
    if preset not in PRESETS:
        raise UserError(f"There is no preset {preset!r}", f"Known: {', '.join(PRESETS)}")
    if direction not in (None, "AtoB", "BtoA"):
        raise UserError(f"--direction {direction} is unknown", "Known: AtoB, BtoA")
    given = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    given = {key: value for key, value in given.items() if value is not None}
    if direction is not None:
        given["swap"] = direction == "BtoA"
    base = PRESETS[preset]
    file = read_settings(config) if config else {}
    method = {**base, **file, **given}.get("method", "cyclegan")
    found = layout(data, method == "pix2pix") if data else {}
    named = {"name": data.resolve().name} if data and "name" not in {**file, **given} else {}
    wanted = config_from(base, named, found, file, given)
    folder = output or Path("runs") / wanted.name
    if benchmark is not None:
        _benchmark(wanted, benchmark, as_json)
    else:
        train_run(wanted, epochs, folder, dry_run, as_json, devices)


@contextmanager
def needs_torch() -> Iterator[None]:
    """Import the trainer inside; UserError where PyTorch is not installed or does not load."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"Training needs PyTorch ({error})", "pip install 'cgvideo[train]'"
        ) from error


def _benchmark(config: "TrainConfig", seconds: float, as_json: bool) -> None:
    from dataclasses import asdict

    from cgvideo.cli.steps import steps
    from trainer.benchmark import benchmark, table
    from trainer.data import read_data
    from trainer.hardware import hardware

    where = hardware(config)
    with steps(config.name, as_json) as report:
        measured = benchmark(config, read_data(config, report), where, seconds, report)
    if as_json:
        emit("benchmark", hardware=str(where), slowest=measured.slowest, **asdict(measured))
    else:
        for line in (str(where), *table(measured)):
            typer.echo(line)


def train_run(
    config: "TrainConfig",
    epochs: float | None,
    folder: Path,
    dry_run: bool,
    as_json: bool,
    devices: int = 1,
) -> None:
    """Train as it is decided, or go on, with everything said to the user.

    Raises:
        UserError: something the user can mend.
        typer.Exit: the user stopped it.
    """
    from dataclasses import replace

    from cgvideo.cli.footage import footage
    from cgvideo.cli.steps import steps
    from cgvideo.cli.watching import watching

    with needs_torch():
        from trainer.data import read_data
        from trainer.distributed import check, together
        from trainer.hardware import hardware
        from trainer.loop import train as run
        from trainer.report import write_report
        from trainer.run import install, opened_run
        from trainer.start import check_models

    check(config, devices)
    check_models(config, folder)
    with steps(config.name, as_json) as report, footage(config, folder, dry_run, report) as config:
        data = read_data(config, report)
    if epochs is not None:
        longest = max(len(data.source), len(data.target))
        config = replace(config, images=max(1, round(epochs * longest)))
    where = hardware(config)
    if not as_json:
        _introduce(config, data, where, folder)
    if dry_run:
        return
    with opened_run(config, folder) as seen, _interruptible() as stop:
        if seen:
            say(f"going on after {seen} of {config.images} pictures", sys.stderr)
        watch, finish = watching(config, as_json, stop)
        try:
            with together(config, folder, where, devices) as first:
                state = run(config, data, first, folder, watch)
        finally:
            finish()
        names = install(config, folder)
        page = write_report(folder)
    if as_json:
        emit("done", images_seen=state.images_seen, models=names, report=str(page), stopped=stop())
    else:
        for name in names:
            typer.echo(f"model {name}: cgvideo convert in.mp4 --model {name}")
        typer.echo(f"{page}: how it went")
    if stop():
        say("stopped: the same command goes on", sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _introduce(config: "TrainConfig", data: Any, where: Any, folder: Path) -> None:
    from trainer.cyclegan import judge
    from trainer.networks import parameters_of

    spec = config.spec
    sets = f"{len(data.source)} and {len(data.target)} pictures"
    if config.teacher is not None:
        sets = f"{config.teacher} and {len(data.source)} pictures"
    typer.echo(f"{config.name}: {config.method} from {sets}, in {folder}")
    typer.echo(
        f"generator {spec.description}, {spec.macs(config.crop, config.crop) / 1e9:.1f} GMAC a crop"
    )
    typer.echo(
        f"discriminator {parameters_of(judge(config)) / 1e6:.2f} M parameters, {config.adversarial}"
    )
    length = f"{config.minutes:g} minutes" if config.minutes else f"{config.images} pictures"
    typer.echo(f"{where}; {length}, batch {config.batch}")
    for label, pictures in (("source", data.source), ("target", data.target)):
        if pictures.unreadable:
            names = ", ".join(path.name for path in pictures.unreadable[:5])
            typer.echo(f"left out of the {label}, since they cannot be read: {names}")
    if data.left_out:
        typer.echo(
            f"{data.left_out} test pictures are copies of training pictures: not measured on"
        )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: the step in hand is finished and kept. Twice ends at once."""
    import signal

    asked = False

    def stop(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping after this step; once more to stop at once", sys.stderr)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
