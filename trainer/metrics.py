"""Measures of a translation that need no download."""

from collections.abc import Mapping

from trainer.average import Average
from trainer.config import TrainConfig
from trainer.data import Data
from trainer.hardware import Hardware


class Evaluator:
    """Measures generators on the test pictures."""

    def __init__(self, config: TrainConfig, data: Data, hardware: Hardware) -> None:
        self._config, self._data, self._hardware = config, data, hardware

    def __call__(self, averages: Mapping[str, Average]) -> dict[str, float]:
        """The measures, by name."""
        return {}
