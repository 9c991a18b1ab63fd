"""Every real video converts, and the table in docs/formats.md says what becomes of it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIPS = ROOT.parent / "shared" / "clips"
sys.path.insert(0, str(ROOT / "benchmarks"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIPS.is_dir(), reason=f"there are no real clips at {CLIPS}"),
]


def test_every_real_video_converts_as_the_table_says() -> None:
    import corpus

    outcomes = [corpus.examine(CLIPS, row) for row in corpus.rows(CLIPS)]
    wrong = {outcome.name: outcome.wrong for outcome in outcomes if outcome.wrong}
    assert wrong == {}
    assert sum(outcome.must_convert for outcome in outcomes) > 90
    document = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert corpus.with_table(document, outcomes) == document
