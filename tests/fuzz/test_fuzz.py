"""Damaged files of every kind: converted, or refused in one line."""

import pytest
from fuzz.campaign import Campaign, each_kind, run
from fuzz.recipe import KINDS


def _all(files: list[tuple[str, int]]) -> Campaign:
    campaign = Campaign()
    for campaign in run(files):  # noqa: B007  (the last one has all)
        pass
    assert campaign.failures == []
    assert campaign.files == len(files)
    return campaign


def test_sound_and_damaged_files_of_every_kind() -> None:
    """A short form of the one below; without damage all are read."""
    sound = [(kind, -1) for kind in KINDS]
    campaign = _all(sound + each_kind(3 * len(KINDS), begin=1000))
    refused = {kind for kind, _ in sound if campaign.outcomes[kind, "done"] == 0}
    assert refused == set()


@pytest.mark.slow
def test_a_thousand_damaged_files() -> None:
    campaign = _all(each_kind(1000))
    assert campaign.opened > 500
