"""The journal counts what is wholly there, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cgvideo.codec.decode import Seam
from cgvideo.journal import Journal, describe_part
from engines.errors import UserError

FRAMES = 4  # in a segment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".out.mp4.cgvideo" / "0123456789abcdef"


def opened(folder: Path, fingerprint: str = "print") -> Journal:
    return Journal(folder, fingerprint, {"codec": "h264"})


def commit(journal: Journal, segment: int) -> None:
    with journal.committing(segment) as scratch:
        scratch.write_bytes(b"part %d" % segment)
    pts = tuple(range(segment * FRAMES * 10, (segment + 1) * FRAMES * 10, 10))
    path = journal.part_path(segment)
    journal.commit(describe_part(path, segment, pts, 10, f"hash {segment}"))


def committed(folder: Path, *segments: int) -> Path:
    """A folder where an earlier run has committed these segments; gives the journal's file."""
    with opened(folder) as journal:
        for segment in segments:
            commit(journal, segment)
    return folder / "journal.jsonl"


def segments_in(folder: Path, fingerprint: str = "print") -> list[int]:
    with opened(folder, fingerprint) as journal:
        return [record.segment for record in journal.parts]


def test_a_new_journal_has_everything_to_do(folder: Path) -> None:
    with opened(folder) as journal:
        (run,) = journal.missing_runs(FRAMES)
        assert run.start == 0
        assert len(run) > 10**9
        assert journal.seam_before(0, FRAMES) is None


def test_committed_parts_are_known_to_the_next_run(folder: Path) -> None:
    committed(folder, 0, 1)
    with opened(folder) as journal:
        assert [record.segment for record in journal.parts] == [0, 1]
        assert 1 in journal
        assert 2 not in journal
        assert journal.missing_runs(FRAMES)[0].start == 2
        assert journal.seam_before(2, FRAMES) == Seam(7, 70, "hash 1")
        assert [(part.path.name, part.first_pts) for part in journal.files()] == [
            ("000000.nut", 0),
            ("000001.nut", 40),
        ]


def test_notes_are_known_to_the_next_run(folder: Path) -> None:
    with opened(folder) as journal:
        journal.note("smaller tiles from here on")
        commit(journal, 0)
    with opened(folder) as journal:
        assert journal.notes == ["smaller tiles from here on"]
        assert [record.segment for record in journal.parts] == [0]


def test_gaps_are_found_and_the_end_bounds_the_last_run(folder: Path) -> None:
    committed(folder, 0, 2, 3, 6)
    with opened(folder) as journal:
        journal.note_end(FRAMES * 8 + 1)
    with opened(folder) as journal:
        assert journal.missing_runs(FRAMES) == [range(1, 2), range(4, 6), range(7, 9)]


@pytest.mark.parametrize("frames", [FRAMES * 2, FRAMES * 2 - 1])
def test_nothing_is_missing_when_all_frames_are_committed(folder: Path, frames: int) -> None:
    committed(folder, 0, 1)
    with opened(folder) as journal:
        journal.note_end(frames)
    with opened(folder) as journal:
        assert journal.missing_runs(FRAMES) == []


@pytest.mark.parametrize("cut", [1, 2, 20, 150])
def test_a_torn_last_line_is_ignored_and_does_not_swallow_the_next(folder: Path, cut: int) -> None:
    path = committed(folder, 0, 1)
    path.write_bytes(path.read_bytes()[:-cut])
    assert segments_in(folder) == [0]
    with opened(folder) as journal:
        commit(journal, 1)
        commit(journal, 2)
    assert segments_in(folder) == [0, 1, 2]


def test_a_garbled_line_costs_only_its_own_part(folder: Path) -> None:
    path = committed(folder, 0, 1, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\xff\x00" + lines[2][2:]
    path.write_bytes(b"".join(lines))
    assert segments_in(folder) == [0, 2]


@pytest.mark.parametrize(
    "line",
    ['{"part": 7}', '{"part": {"segment": 1}}', '{"end": "soon"}', "[]", "7", "",
     '{"part": {"segment": "x", "bytes": 6, "sha256": "", "pts": [1], "last_duration": 1,'
     ' "seam_hash": ""}}',
     '{"part": {"segment": 1, "bytes": 6, "sha256": "", "pts": null, "last_duration": 1,'
     ' "seam_hash": ""}}'],
)  # fmt: skip
def test_a_line_that_says_something_else_is_ignored(folder: Path, line: str) -> None:
    path = committed(folder, 0)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert segments_in(folder) == [0]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda part: part.unlink(),
    "cut": lambda part: part.write_bytes(part.read_bytes()[:-1]),
    "changed": lambda part: part.write_bytes(part.read_bytes()[:-1] + b"?"),
    "a folder": lambda part: (part.unlink(), part.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_part_that_is_not_whole_does_not_count(folder: Path, damage: str) -> None:
    committed(folder, 0, 1, 2)
    DAMAGE[damage](folder / "000001.nut")
    assert segments_in(folder) == [0, 2]


def test_a_part_without_a_line_does_not_count(folder: Path) -> None:
    committed(folder, 0)
    with opened(folder) as journal, journal.committing(1) as scratch:
        scratch.write_bytes(b"on the disk, not in the journal")
    assert segments_in(folder) == [0]


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\x00" * 500, b'{"cgvideo": 1}\n', b"{}"])
def test_a_damaged_beginning_starts_afresh(folder: Path, content: bytes) -> None:
    committed(folder, 0).write_bytes(content)
    assert segments_in(folder) == []


def test_another_plan_counts_nothing_of_it(folder: Path) -> None:
    committed(folder, 0)
    assert segments_in(folder, "another print") == []


def test_the_file_says_readably_what_the_plan_was(folder: Path) -> None:
    first = json.loads(committed(folder, 0).read_text(encoding="utf-8").splitlines()[0])
    assert first["fingerprint"] == "print"
    assert first["plan"] == {"codec": "h264"}


def test_only_one_run_at_a_time(folder: Path) -> None:
    with opened(folder):
        with pytest.raises(UserError, match="Another run"), opened(folder):
            pytest.fail("two runs hold the same journal")
        assert folder.exists()


def test_a_run_that_committed_nothing_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with opened(folder):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    committed(folder, 0)
    with opened(folder) as journal:
        journal.discard()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_swept_away(folder: Path) -> None:
    committed(folder, 0)
    left = folder / ".000001.99999.partial.nut"
    left.write_bytes(b"half")
    assert segments_in(folder) == [0]
    assert not left.exists()


def test_a_part_that_fails_leaves_no_file(folder: Path) -> None:
    def fail(journal: Journal) -> None:
        with journal.committing(1) as scratch:
            scratch.write_bytes(b"half")
            raise RuntimeError("the encoder fell over")

    committed(folder, 0)
    with opened(folder) as journal:
        with pytest.raises(RuntimeError):
            fail(journal)
        assert sorted(path.name for path in folder.glob("*.nut")) == ["000000.nut"]
        assert list(folder.glob(".*.nut")) == []


def test_a_folder_that_may_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(UserError, match="may not be written"),
        opened(tmp_path / "file" / "below" / "it"),
    ):
        pytest.fail("there is no such folder")
