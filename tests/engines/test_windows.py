"""Windows cover a length once, and see as far as they must."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.windows import least_size, window_count, windows


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 300), st.integers(0, 30), st.integers(1, 8))
def test_every_place_is_covered_once_with_its_halo(length, core, halo, multiple):
    length, halo = length * multiple, halo * multiple
    size = (core * multiple) + 2 * halo
    covered = 0
    for window in windows(length, size, halo, multiple):
        assert window.first == covered < window.end
        assert window.stop - window.start == min(size, length)
        assert window.start % multiple == 0
        assert window.start == 0 or window.first - window.start >= halo
        assert window.stop == length or window.stop - window.end >= halo
        covered = window.end
    assert covered == length


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 40), st.integers(0, 20))
def test_the_least_size_needs_no_more_windows(length, count, halo):
    length, halo = 4 * length, 4 * halo
    size = least_size(length, count, halo, 4)
    if size > 2 * halo:
        assert len(windows(length, size, halo, 4)) == window_count(length, size, halo) <= count


def test_windows_that_are_all_halo_are_refused():
    with pytest.raises(ValueError, match="halos"):
        windows(1000, 100, 50)
