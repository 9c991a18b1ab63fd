"""How large frames are: as they come out, and as an engine is given them."""

from cgvideo.stages.translate import padded_size
from engines.model_file import Model


def working_size(size: tuple[int, int], max_size: int | None) -> tuple[int, int]:
    """(height, width) so that the longer side is at most `max_size`; sides that shrink are even."""
    longer = max(size)
    if max_size is None or longer <= max_size:
        return size
    height, width = (max(2, int(side * max_size / longer / 2 + 0.5) * 2) for side in size)
    limit = max(2, max_size // 2 * 2)
    return min(height, limit), min(width, limit)


def engine_size(size: tuple[int, int], model: Model) -> tuple[int, int]:
    """The (height, width) that frames of `size` have after padding for a model."""
    return padded_size(size, model.spec.multiple_of, model.spec.minimum_size)
