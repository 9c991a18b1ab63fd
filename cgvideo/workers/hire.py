"""Workers: as many, and where, as the settings say."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cgvideo.plan import Plan
from cgvideo.requests import engine_request
from cgvideo.settings import Settings
from cgvideo.workers.cluster import Cluster
from cgvideo.workers.crew import A, Crew, E, Post
from cgvideo.workers.processes import Processes
from cgvideo.workers.worker import ClipPost, Errand, Rendered
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model


def hired(post: Post[E, A], settings: Settings) -> Crew[E, A]:
    """Workers for a post.

    Raises:
        UserError: there is no such cluster, or no room in it.
    """
    if settings.ray is not None:
        cores = engine_request(settings, None).threads or 1
        return Cluster(post, settings.ray, settings.device, cores, settings.workers)
    return Processes(post, settings.devices or [settings.device] * (settings.workers or 1))


def hired_for_clip(plan: Plan, model: Model, settings: Settings) -> Crew[Errand, Rendered]:
    """Workers for a plan, which find their own way to its files; raises as `hired` does."""
    here = replace(plan, clip=replace(plan.clip, path=plan.clip.path.resolve()))
    here = replace(here, output=plan.output.resolve())
    threads = dict(plan.engine).get("threads", "")
    if threads.isdigit():  # as it was decided here, whatever machine a worker is on
        settings = replace(settings, threads=int(threads))
    return hired(ClipPost(here, name_everywhere(model), settings), settings)


def name_everywhere(model: Model) -> str:
    """A model's name where that finds it, else its file."""
    with suppress(UserError):
        if find_model(model.name).sha256 == model.sha256:
            return model.name
    assert model.path is not None
    return str(Path(model.path).resolve())
