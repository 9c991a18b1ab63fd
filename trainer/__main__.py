"""`torchrun --nproc-per-node N -m trainer RUN/config.toml -o RUN`: train, or go on, as N processes."""

import argparse
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from engines.errors import UserError
from trainer.checkpoint import TrainState
from trainer.config import config_from, read_settings
from trainer.data import read_data
from trainer.distributed import by_torchrun, check, joined
from trainer.hardware import hardware, of_rank
from trainer.loop import Watch, train
from trainer.run import opened_run


def main() -> None:
    """SIGINT and SIGTERM end the run after the step in hand, with a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("config", type=Path, help="settings in TOML")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run's folder")
    given = parser.parse_args()
    asked = False

    def stop(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    ranks = by_torchrun()
    try:
        config = config_from(read_settings(given.config))
        check(config, ranks.count)
        where = of_rank(hardware(config), ranks)
        with ExitStack() as stack:
            if ranks.rank == 0:
                stack.enter_context(opened_run(config, given.output))
            data = read_data(config)
            if ranks.count > 1:
                stack.enter_context(joined(None, ranks))
            train(config, data, where, given.output, Watch(progress=_progress, stop=lambda: asked))
    except UserError as error:
        sys.exit(f"trainer: {error}")
    except RuntimeError as error:
        if ranks.count == 1:
            raise
        sys.exit(f"trainer: process {ranks.rank} failed ({' '.join(str(error).split())})")


def _progress(
    state: TrainState, share: float, losses: Mapping[str, float], pairs_a_second: float
) -> None:
    line = f"{100 * share:.0f} %  {state.images_seen} seen  {pairs_a_second:.1f} pairs/s"
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
