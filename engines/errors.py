"""The one kind of error that a user can cause and mend."""


class UserError(Exception):
    """Something the user can put right: shown as one line, exit code 1, no traceback.

    `problem` says what is wrong, `mend` what to do about it. Anything else that is raised is a bug.
    It lives in the lowest package so that all three can raise it.
    """

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(f"{problem}. {mend}" if mend else problem)
        self.problem = problem
        self.mend = mend
