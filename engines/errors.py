"""The one kind of error that a user can cause and mend, and what any other says in a line."""


class UserError(Exception):
    """Something the user can put right: shown as one line, exit code 1, no traceback.

    `problem` says what is wrong, `mend` what to do about it. Anything else that is raised is a bug.
    It lives in the lowest package so that all three can raise it.
    """

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}. {mend}" if mend else problem)
        self.problem = problem
        self.mend = mend


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """The last line of what an error says, where some runtimes put the reason."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]
