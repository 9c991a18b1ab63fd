"""Where what was built once is kept."""

import os
from pathlib import Path

from platformdirs import user_cache_dir


def cache_folder() -> Path:
    """The program's cache folder: `CGVIDEO_CACHE`, else the platform's."""
    chosen = os.environ.get("CGVIDEO_CACHE")
    return Path(chosen) if chosen else Path(user_cache_dir("cgvideo", appauthor=False))
