"""Tiny domains for all tests of the trainer."""

from collections.abc import Iterator

import pytest
import torch
from tiny_run import make_domains


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks so small are slowed down by threads, the more so beside other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Six blue pictures and five orange ones, and two of each for tests; not to be written to."""
    return make_domains(tmp_path_factory.mktemp("domains"))
