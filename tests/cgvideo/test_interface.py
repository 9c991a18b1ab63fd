"""`import cgvideo`: what it offers stays what it is, whatever was imported before or since."""

import subprocess
import sys

import pytest

USES = """
import cgvideo
{before}
for name in cgvideo.__all__ * 2:
    assert callable(getattr(cgvideo, name)), name
"""


@pytest.mark.parametrize("before", ["", "import cgvideo.cli", "import cgvideo.interface"])
def test_what_it_offers_can_be_called_again_and_again(before: str) -> None:
    """A module of the name of a function would take its place once it is loaded."""
    subprocess.run([sys.executable, "-c", USES.format(before=before)], check=True, timeout=60)
