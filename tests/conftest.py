"""Fixtures that all tests may ask for."""

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A read-ahead thread that outlives its block would decode from a closed file."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []
