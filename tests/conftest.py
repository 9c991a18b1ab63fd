"""Fixtures that all tests may ask for."""

import os
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def engine_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One engine store for all tests, so that each engine is built once, and not the user's."""
    before = os.environ.get("CGVIDEO_CACHE")
    os.environ["CGVIDEO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["CGVIDEO_CACHE"]
    else:
        os.environ["CGVIDEO_CACHE"] = before


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A read-ahead thread that outlives its block would decode from a closed file."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []
