"""The form of a finding."""

from dataclasses import dataclass
from typing import Literal

Mark = Literal["ok", "better", "broken"]
"""Good as it is; it works, and could be better; it does not work."""

GB = 1e9
REINSTALL = "pip install --force-reinstall"
TORCH_PIP = "pip install 'cgvideo[torch]'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    `found` says what is there, `means` what that is for a conversion, `mend` what to do. `vital`: a
    conversion does not run before it is mended.
    """

    section: str
    found: str
    means: str = ""
    mend: str = ""
    mark: Mark = "ok"
    vital: bool = False
