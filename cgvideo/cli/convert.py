"""`cgvideo convert`: files in, files out."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cgvideo.cli.completing import models, words
from cgvideo.cli.pipes import FORMATS, PIPE, is_piped, through_pipes
from engines.errors import UserError

if TYPE_CHECKING:
    from cgvideo.cli.interrupt import Interruption


def convert(
    inputs: list[Path] = typer.Argument(
        ...,
        metavar="INPUT",
        help="Videos, pictures and folders to convert; - for standard input.",
    ),
    model: str = typer.Option(
        "summer2winter",
        "--model",
        "-m",
        help="A name from `cgvideo models`, or a model file.",
        autocompletion=models,
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="File to write, an existing folder, or - for standard output; of a folder, the folder to write."
        " Default: INPUT.MODEL beside the input, with its suffix where that container fits, else .mkv.",
    ),
    start: float = typer.Option(0.0, help="Begin so many seconds into the clip."),
    duration: float | None = typer.Option(None, help="Convert so many seconds. Default: all."),
    max_size: int | None = typer.Option(
        None, help="Shrink so that the longer side has at most so many pixels. Default: as it is."
    ),
    strength: float = typer.Option(
        1.0, help="Blend with the source: 0 is the source, 1 the full translation."
    ),
    smooth: str = typer.Option(
        "auto",
        help="Steadiness: auto, off, or 0 (frame by frame) to 1 (flicker averaged away along the"
        " motion of the source). Default: auto, which is 1.",
        autocompletion=words("auto", "off"),
    ),
    codec: str | None = typer.Option(
        None,
        help="h264 (plays everywhere), hevc and av1 (smaller, 10 bits), vp9, prores (for editing: 10 bits,"
        " transparency), ffv1 (lossless); on an NVIDIA GPU where `cgvideo doctor` finds them:"
        " h264_nvenc, hevc_nvenc. Default: h264, lossless into a pipe.",
        autocompletion=words(
            "h264", "hevc", "av1", "vp9", "prores", "ffv1", "h264_nvenc", "hevc_nvenc"
        ),
    ),
    crf: float | None = typer.Option(
        None,
        help="Quality, 0 to 51 (63: av1, vp9): lower is better and larger. Default: 16 (h264),"
        " 20 (hevc), 24 (av1), 22 (vp9), 19 (h264_nvenc), 22 (hevc_nvenc).",
    ),
    preset: str | None = typer.Option(
        None,
        help="Encoder's effort: ultrafast to veryslow; NVENC p1 to p7; av1 10 to 0, vp9 8 to 0 (the"
        " best); of prores the profile: proxy, lt, standard, hq. Default: veryfast (h264), fast (hevc),"
        " 8 (av1), 4 (vp9), hq (prores; 4444 where the source is 4:4:4), p4 (NVENC).",
    ),
    pix_fmt: str | None = typer.Option(
        None,
        help="Pixel format of the encoder. Default: yuv420p (yuv444p where a side is odd); of a source"
        " with more than 8 bits yuv420p10le (hevc, av1).",
    ),
    tonemap: str = typer.Option(
        "off",
        help="HDR sources: off refuses them, sdr makes them SDR first, keep translates PQ or HLG values as"
        " they are and stays HDR.",
        autocompletion=words("off", "sdr", "keep"),
    ),
    strict: bool = typer.Option(
        False, "--strict", help="A damaged source is an error. Default: convert what decodes."
    ),
    no_audio: bool = typer.Option(
        False, "--no-audio", help="Leave the sound out. Default: keep it."
    ),
    compare: bool = typer.Option(
        False, "--compare", help="Write source and result side by side. Default: the result alone."
    ),
    pipe: str = typer.Option(
        "nut",
        help="What -o - speaks: nut (with sound and all times) or y4m (pictures alone).",
        autocompletion=words("nut", "y4m"),
    ),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace an existing output. Default: refuse."
    ),
    picture_format: str | None = typer.Option(
        None,
        "--format",
        help="Format of pictures: png, jpeg, webp, tiff, bmp, gif, avif, heic. Default: their own.",
        autocompletion=words("png", "jpeg", "webp", "tiff", "bmp", "gif", "avif", "heic"),
    ),
    quality: int | None = typer.Option(
        None,
        help="Quality of pictures, 1 to 100. Default: 95 (jpeg), 90 (webp), 80 (avif), 85 (heic);"
        " a WebP without loss stays so.",
    ),
    max_pixels: int = typer.Option(
        200_000_000, help="Refuse pictures of more pixels. Default: 200 million."
    ),
    include: list[str] = typer.Option(
        [], help="Of a folder, only files that match this glob (again for more). Default: all."
    ),
    exclude: list[str] = typer.Option(
        [], help="Of a folder, no files or folders that match this glob. Default: none left out."
    ),
    skip_existing: bool = typer.Option(
        False,
        "--skip-existing",
        help="Of a folder that was converted before, only what is new or changed, by content."
        " Default: refuse.",
    ),
    backend: str = typer.Option(
        "auto",
        help="Runtime: auto, openvino, torch or tensorrt.",
        autocompletion=words("auto", "openvino", "torch", "tensorrt"),
    ),
    device: str = typer.Option(
        "auto",
        help="Device of the runtime: auto, cpu, gpu or cuda.",
        autocompletion=words("auto", "cpu", "gpu", "cuda"),
    ),
    precision: str = typer.Option(
        "auto",
        help="auto, fp32, bf16, fp16, or int8 (a third faster on CPUs, about 50 dB from fp32)."
        " Default: bf16 where the CPU has it, fp16 on NVIDIA GPUs, else fp32.",
        autocompletion=words("auto", "fp32", "bf16", "fp16", "int8"),
    ),
    threads: int | None = typer.Option(
        None,
        help="CPU threads of the engine. Default: all cores, shared by --workers; 4 with --ray.",
    ),
    workers: int | None = typer.Option(
        None,
        help="Processes that share a clip's segments and a folder's pictures. Default: 1, or one for each of --devices.",
    ),
    devices: str | None = typer.Option(
        None, help="Devices, one process each: cuda:0,cuda:1. Default: --device alone."
    ),
    ray: str | None = typer.Option(
        None,
        metavar="ADDRESS",
        help="Have a Ray cluster do it: auto, or HOST:PORT. Default: this machine.",
    ),
    mixed: bool = typer.Option(
        False,
        "--mixed",
        help="Admit workers with other engines: the same within a level or so. Default: refuse them.",
    ),
    norm: str = typer.Option(
        "auto",
        help="Where a frame's statistics come from: anchors (measured about once a second and"
        " interpolated: steady), frame (its own), fast (a thumbnail's: less exact). Default:"
        " anchors, of pictures frame.",
        autocompletion=words("auto", "anchors", "frame", "fast"),
    ),
    anchor_interval: float = typer.Option(
        1.0, help="Seconds from one measurement to the next, with --norm anchors."
    ),
    tile: str = typer.Option(
        "auto",
        help="auto (whole frames where they fit the memory), off, or the longest side of a tile in"
        " pixels, halo included. Tiles do not show: docs/tiles.md.",
    ),
    halo: str = typer.Option(
        "auto",
        help="Pixels that tiles overlap on each side. auto is exact; less is faster and is not.",
    ),
    work_size: int | None = typer.Option(
        None,
        help="Translate with a longer side of at most so many pixels and put the change back into"
        " the frame along its edges: much faster, less exact. Default: as it is.",
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Print the plan and what it will cost, and stop."
    ),
    as_json: bool = typer.Option(False, "--json", help="Report as JSON, one object a line."),
    debug: bool = typer.Option(
        False, "--debug", help="Show tracebacks instead of one-line errors."
    ),
) -> None:
    """Convert videos and pictures, one by one or whole folders.

    A run that was interrupted goes on where it stopped: give the same command again.
    """
    from cgvideo.cli.display import open_display
    from cgvideo.cli.inputs import convert_all
    from cgvideo.cli.interrupt import interruptibly
    from cgvideo.settings import Settings
    from engines.library import find_model

    to_pipe = output == PIPE
    lossless = to_pipe and codec is None
    if to_pipe and as_json:
        raise UserError("Standard output cannot take both the video and --json", "Give -o a file")
    if pipe not in FORMATS:
        raise UserError(f"There is no --pipe {pipe!r}", f"Choose from {', '.join(FORMATS)}")
    display = open_display(as_json)
    settings = Settings(
        output=output,
        start=start,
        duration=duration,
        max_size=max_size,
        strength=strength,
        smooth=smooth,
        workers=workers,
        devices=tuple(filter(None, (devices or "").split(","))),
        ray=ray,
        mixed=mixed,
        codec=codec or "h264",
        crf=0 if lossless and crf is None else crf,
        preset="ultrafast" if lossless and preset is None else preset,
        pixel_format=pix_fmt,
        tonemap=tonemap,
        strict=strict,
        audio=not no_audio,
        compare=compare,
        overwrite=overwrite,
        format=picture_format,
        quality=quality,
        max_pixels=max_pixels,
        include=tuple(include),
        exclude=tuple(exclude),
        skip_existing=skip_existing,
        backend=backend,
        device=device,
        precision=precision,
        threads=threads,
        norm=norm,
        anchor_interval=anchor_interval,
        tile=tile,
        halo=halo,
        work_size=work_size,
    )
    found = find_model(model)

    def work(interruption: "Interruption") -> None:
        def on(files: list[Path], chosen: Settings) -> None:
            convert_all(files, found, chosen, display, interruption, dry_run, debug)

        if is_piped(inputs, settings):
            through_pipes(inputs, settings, pipe, interruption, on, display.note)
        else:
            on(inputs, settings)

    interruptibly(work, display, len(inputs))
