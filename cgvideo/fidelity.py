"""What a conversion keeps of the source's depth, range of light and transparency."""

from dataclasses import dataclass, replace

from cgvideo.clip import UNSPECIFIED, Clip, ColorTags
from cgvideo.codec.color import Development, depth_of, holds_alpha, is_rgb
from cgvideo.codec.encode import CODECS, check_pixel_format, choose_pixel_format
from cgvideo.codec.light import PARAMETERS
from cgvideo.codec.tonemap import HLG, USUAL_PEAK
from cgvideo.settings import Settings
from engines.errors import UserError
from engines.spec import Pixels

SDR = ColorTags(full_range=False, matrix=1, primaries=1, transfer=1)
"""What tone mapping gives: BT.709 in limited range."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How pictures are coded in the result, and what they are between decoder and encoder."""

    pixel_format: str
    color: ColorTags
    development: Development
    notices: tuple[str, ...]

    @property
    def pixels(self) -> Pixels:
        """What the engine is to take and give."""
        return "float32" if self.development.deep else "uint8"

    @property
    def stays_hdr(self) -> bool:
        return self.color.is_hdr


def choose_fidelity(clip: Clip, settings: Settings, coded: tuple[int, int]) -> Fidelity:
    """Decide it. `coded` is the (height, width) of the result as it is coded.

    Pixels are deep where the encoder takes more than 8 bits: then nothing on the way has less.

    Raises:
        UserError: HDR without a word on what to do, a pixel format that the encoder does not take.
    """
    codec, depth = settings.codec, clip.bit_depth
    pixel_format = settings.pixel_format or choose_pixel_format(codec, coded, clip.pixel_format)
    check_pixel_format(codec, pixel_format, coded)
    kept = depth_of(pixel_format)
    deep = kept > 8
    notices = []
    color = clip.color.for_rgb() if is_rgb(pixel_format) else clip.color.for_yuv(coded[0])
    if codec == "prores":  # which cannot say that its range is full
        color = replace(color, full_range=False)
    peak = None
    if clip.color.is_hdr:
        kind = "HLG" if clip.color.transfer == HLG else "PQ"
        if settings.tonemap == "off":
            raise UserError(
                f"{clip.path} is HDR video ({kind}), and the models know only ordinary (SDR) pictures",
                "Give --tonemap sdr to make it SDR first",
            )
        if settings.tonemap == "sdr":
            peak = clip.light.peak or USUAL_PEAK
            color = SDR.for_rgb() if is_rgb(pixel_format) else SDR
            notices.append(f"the source is HDR ({kind}): made SDR (BT.709) before it is translated")
        else:
            if not deep:
                raise UserError(
                    f"{pixel_format} has too few bits for HDR",
                    "Give --codec hevc, av1, prores or ffv1, or --tonemap sdr",
                )
            notices.append(
                f"the source is HDR ({kind}) and stays so: the model sees its {kind} values as if they"
                " were SDR"
            )
            said = clip.light.mastering or clip.light.brightest
            if said and CODECS[codec].encoder not in PARAMETERS:
                notices.append(f"{codec} cannot say how bright the source is: that is left out")
    elif "Dolby Vision" in clip.light.dynamic and clip.color.transfer == UNSPECIFIED:
        raise UserError(
            f"{clip.path} is Dolby Vision with no ordinary picture under it (profile 5)",
            "Make an HDR10 or SDR copy first",
        )
    elif settings.pixel_format is None and kept < depth:
        mend = "; --codec hevc, av1 or prores keeps 10" if kept == 8 else ""
        notices.append(f"the source has {depth} bits a colour; {kept} are kept{mend}")
    notices += [f"{name} data are left out" for name in clip.light.dynamic]
    alpha = clip.has_alpha and holds_alpha(clip.pixel_format) and holds_alpha(pixel_format)
    if clip.has_alpha and not alpha:
        mend = "; --codec prores keeps it" if holds_alpha(clip.pixel_format) else ""
        notices.append(f"the source's transparency is left out{mend}")
    if clip.several_views:
        notices.append(
            "the source is stereoscopic (MV-HEVC): one view is translated, the other left out"
        )
    if clip.interlaced:
        notices.append("the source is interlaced: its half-pictures are made whole ones (bwdif)")
    odd = settings.pixel_format is None and "444" in pixel_format and not CODECS[codec].odd
    if odd:
        notices.append(
            f"{coded[1]}x{coded[0]} has an odd side: encoded as 4:4:4, which some players refuse"
        )
    return Fidelity(pixel_format, color, Development(deep, peak, alpha), tuple(notices))
