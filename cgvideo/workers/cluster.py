"""Workers that are actors of a Ray cluster, on one machine or many."""

import logging
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any

from cgvideo.codec.decode import Seam
from cgvideo.workers.crew import Crew, Rendered
from cgvideo.workers.worker import Post, Worker
from engines.errors import UserError, first_line

CONNECTING_SECONDS = 10.0


class Cluster(Crew):
    """A crew of `count` actors (None: as many as the cluster has room for), with the cores or GPU of each.

    `address` is "auto" for the cluster that this machine is part of, or HOST:PORT. Ray restarts
    an actor that was lost, elsewhere where its machine is gone.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, post: Post, address: str, device: str, cores: int, count: int | None = None
    ) -> None:
        self._ray = _connected(address)
        gpus = 1 if device.startswith("cuda") else 0
        # Ray would wait for ever for room that no machine has.
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(_room(resources, cores, gpus) for resources in machines)
        count = count or max(1, room)
        if count > room:
            self._ray.shutdown()
            of = f"{cores} cores{' and a GPU' if gpus else ''}"
            raise UserError(
                f"The cluster has room for {room} workers of {of}, not for {count}",
                "Give fewer --workers, or fewer --threads",
            )
        remote = self._ray.remote(
            num_cpus=cores, num_gpus=gpus, max_restarts=-1, max_task_retries=0
        )(Worker)
        self._idle = deque(remote.remote(post, device) for _ in range(count))
        self._busy: dict[Any, tuple[int, Any]] = {}

    @property
    def idle(self) -> int:
        return len(self._idle)

    def give(self, segment: int, seam: Seam | None) -> None:
        actor = self._idle.popleft()
        self._busy[actor.render.remote(segment, seam)] = segment, actor

    def take(self) -> tuple[int, Rendered | None]:
        ready, _ = self._ray.wait(list(self._busy), num_returns=1)
        segment, actor = self._busy.pop(ready[0])
        self._idle.append(actor)
        try:
            rendered: Rendered = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, UserError) else error) from None
        except self._ray.exceptions.ActorDiedError as error:
            # Of a constructor that raised, Ray tells in the death what it was.
            if "UserError" in str(error):
                raise UserError(_reason(error)) from None
            return segment, None
        except self._ray.exceptions.RayActorError:
            return segment, None
        return segment, rendered

    def close(self) -> None:
        for actor in (*self._idle, *(actor for _, actor in self._busy.values())):
            self._ray.kill(actor)
        self._ray.shutdown()


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anyone
    try:
        import ray
    except ImportError as error:
        raise UserError("Ray is not installed", "pip install 'cgvideo[ray]'") from error
    try:
        _reach(address)
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"There is no Ray cluster at {address} ({first_line(error)})",
            "Start one with ray start --head, or give --ray HOST:PORT",
        ) from error
    return ray


def _room(resources: Mapping[str, float], cores: int, gpus: int) -> int:
    """How many workers a machine has room for; one cannot lie on two."""
    by_cores = int(resources.get("CPU", 0)) // cores
    return min(by_cores, int(resources.get("GPU", 0))) if gpus else by_cores


def _reach(address: str) -> None:
    """Raise OSError where nobody listens: Ray would try again for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), CONNECTING_SECONDS).close()


def _reason(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if "UserError" in line]
    return lines[-1].partition("UserError: ")[2] if lines else first_line(error)
