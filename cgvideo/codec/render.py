"""Write a clip that a program draws: pictures by formula, with sound."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from cgvideo.clip import ColorTags
from cgvideo.codec.color import FromRgb, tag
from cgvideo.codec.errors import local_name, writing
from engines.atomic import replacing

BT709 = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)
AUDIO_BLOCK = 1024  # samples


def write_clip(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    rate: int,
    sound: NDArray[np.int16],
    sample_rate: int,
) -> None:
    """Write RGB pictures `[H, W, 3]` and sound `[channels, samples]` as H.264 and AAC.

    Raises:
        UserError: the place cannot be written.
    """
    with (
        writing(path),
        replacing(path) as scratch,
        av.open(local_name(scratch), "w") as container,
    ):
        video = container.add_stream("libx264", rate=rate, options={"crf": "16"})
        audio = container.add_stream("aac", rate=sample_rate)
        audio.layout = "stereo" if len(sound) == 2 else "mono"
        audio.bit_rate = 160_000
        convert: FromRgb | None = None
        for number, pixels in enumerate(pictures):
            height, width, _ = pixels.shape
            if convert is None:
                video.width, video.height, video.pix_fmt = width, height, "yuv420p"
                tag(video.codec_context, BT709)
                convert = FromRgb(BT709, (height, width), "yuv420p")
            picture = convert(pixels)
            picture.pts, picture.time_base = number, Fraction(1, rate)
            container.mux(video.encode(picture))
        for begin in range(0, sound.shape[1], AUDIO_BLOCK):
            block = np.ascontiguousarray(sound[:, begin : begin + AUDIO_BLOCK].T).reshape(1, -1)
            samples = av.AudioFrame.from_ndarray(block, format="s16", layout=audio.layout.name)
            samples.sample_rate = sample_rate
            samples.pts, samples.time_base = begin, Fraction(1, sample_rate)
            container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
