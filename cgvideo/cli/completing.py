"""What the shell offers when Tab is pressed; nothing heavy is loaded for it.

Where nothing is offered, the shell completes files: a model may be one too.
"""

from collections.abc import Callable


def models(incomplete: str) -> list[str]:
    """The names of models that begin so: those of the program and the user's own."""
    from engines.library import list_models

    return [entry.name for entry in list_models() if entry.name.startswith(incomplete)]


def words(*known: str) -> Callable[[str], list[str]]:
    """What completes an option that takes one of a few words."""

    def beginning(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return beginning
