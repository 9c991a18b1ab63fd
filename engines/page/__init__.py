"""Pages of HTML that need nothing else: no server, no network, no other file."""

import base64
import io
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.atomic import replacing

QUALITY = 88


def write_page(path: Path, template: Path, **parts: str) -> None:
    """Fill a template's `$names` and write the page, whole or not at all.

    `$style` and `$charts` are what all pages share: how they look, and what makes charts answer.
    The parts must be escaped already. Raises OSError for a folder that cannot be written.
    """
    here = Path(__file__).parent
    shared = {
        "style": (here / "page.css").read_text(encoding="utf-8"),
        "charts": (here / "charts.js").read_text(encoding="utf-8"),
    }
    page = Template(template.read_text(encoding="utf-8")).substitute(shared, **parts)
    with replacing(path) as scratch:
        scratch.write_text(page, encoding="utf-8")


def address_of(picture: Image.Image | NDArray[Any]) -> str:
    """A picture as an address that holds all of its bytes; arrays are RGB uint8 `[H, W, 3]`."""
    image = (
        Image.fromarray(np.ascontiguousarray(picture))
        if isinstance(picture, np.ndarray)
        else picture
    )
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(kept.getvalue()).decode('ascii')}"
