"""Workers for a plan: as many, and where, as the settings say."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cgvideo.plan import Plan
from cgvideo.requests import CLUSTER_CORES
from cgvideo.settings import Settings
from cgvideo.workers.cluster import Cluster
from cgvideo.workers.crew import Crew
from cgvideo.workers.processes import Processes
from cgvideo.workers.worker import Post
from engines.errors import UserError
from engines.library import find_model
from engines.model_file import Model


def hired(plan: Plan, model: Model, settings: Settings) -> Crew:
    """Workers for a plan, which find their own way to its files.

    Raises:
        UserError: there is no such cluster, or no room in it.
    """
    here = replace(plan, clip=replace(plan.clip, path=plan.clip.path.resolve()))
    here = replace(here, output=plan.output.resolve())
    threads = dict(plan.engine).get("threads", "")
    if threads.isdigit():  # as it was decided here, whatever machine a worker is on
        settings = replace(settings, threads=int(threads))
    post = Post(here, _name(model), settings)
    if settings.ray is not None:
        cores = settings.threads or CLUSTER_CORES
        return Cluster(post, settings.ray, settings.device, cores, settings.workers)
    return Processes(post, settings.devices or [settings.device] * (settings.workers or 1))


def _name(model: Model) -> str:
    """A model's name where that finds it, else its file."""
    with suppress(UserError):
        if find_model(model.name).sha256 == model.sha256:
            return model.name
    assert model.path is not None
    return str(Path(model.path).resolve())
