"""docs/errors.md: every message of the source, each with what to do."""

import errors_page


def test_the_page_is_that_of_the_source() -> None:
    written = errors_page.PAGE.read_text(encoding="utf-8")
    assert written == errors_page.page(), "run: python tests/errors_page.py"


def test_every_message_says_what_to_do() -> None:
    assert errors_page.without_mend() == []


def test_words_of_the_case_are_capitals_and_constants_are_themselves() -> None:
    lines = [line for line in errors_page.page().splitlines() if line.startswith("| `")]
    assert "| `PATH does not exist` | Check the name |" in lines
    assert any("There is no codec 'CODEC' here" in line and "h264, hevc" in line for line in lines)
    assert not any("{" in line for line in lines)
