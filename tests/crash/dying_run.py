"""A conversion that dies on the spot, without a word, as in a power cut: run in a child process.

Usage: dying_run.py SOURCE OUTPUT SETTINGS WHERE COUNT, with the settings in JSON, a "model" among
them if it is to be a real engine. It exits with DIED at the COUNT-th time at WHERE.
"""

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converting import IdentityEngine, convert, convert_by_model

import cgvideo.codec.encode
import cgvideo.codec.join
import cgvideo.pipeline
from cgvideo.journal import Journal
from cgvideo.stages.tiled_engine import TiledEngine

DIED = 77


def dying(real: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The real thing, until the `count`-th call (from 1) that ends the process instead."""
    calls = itertools.count(1)

    def maybe(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == count:
            os._exit(DIED)
        return real(*args, **kwargs)

    return maybe


def prepare(where: str, count: int) -> IdentityEngine:
    """Put the end of the process in its place, and give the engine to run with."""
    engine = IdentityEngine()
    if where == "translating":
        engine.translated = dying(engine.translated, count)  # type: ignore[method-assign]
        TiledEngine.__call__ = dying(TiledEngine.__call__, count)  # type: ignore[method-assign]
    elif where == "encoding":
        from_rgb = cgvideo.codec.encode.FromRgb
        from_rgb.__call__ = dying(from_rgb.__call__, count)  # type: ignore[method-assign]
    elif where == "before the journal's line":
        Journal.commit = dying(Journal.commit, count)  # type: ignore[method-assign]
    elif where == "before the part's name":
        os.replace = dying(os.replace, count)
    elif where == "before the work is removed":
        Journal.discard = dying(Journal.discard, count)  # type: ignore[method-assign]
    elif where == "before the end is noted":
        Journal.note_end = dying(Journal.note_end, count)  # type: ignore[method-assign]
    elif where == "joining":
        packets = cgvideo.codec.join._video_packets

        def some(*args: Any) -> Any:
            for number, packet in enumerate(packets(*args)):
                if number == count:
                    os._exit(DIED)
                yield packet

        cgvideo.codec.join._video_packets = some
    elif where == "checking":
        cgvideo.pipeline.check = dying(cgvideo.pipeline.check, count)
    else:
        raise ValueError(where)
    return engine


if __name__ == "__main__":
    source, output, settings, where, count = sys.argv[1:]
    engine = prepare(where, int(count))
    chosen = json.loads(settings)
    if "model" in chosen:
        convert_by_model(Path(source), Path(output), **chosen)
    else:
        convert(Path(source), Path(output), engine, **chosen)
