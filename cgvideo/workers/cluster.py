"""Workers that are actors of a Ray cluster, on one machine or many."""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from cgvideo.workers.crew import A, Crew, E, Hand, Post
from engines.errors import UserError, first_line

CONNECTING_SECONDS = 10.0


class Cluster(Crew[E, A]):
    """A crew of `count` actors (None: as many as the cluster has room for), with the cores or GPU of each.

    `address` is "auto" for the cluster that this machine is part of, or HOST:PORT. In place of one
    that was lost there is a new one as soon as some machine has room for it.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, post: Post[E, A], address: str, device: str, cores: int, count: int | None = None
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
            num_cpus=cores, num_gpus=gpus, max_restarts=0, max_task_retries=0
        )(_Actor)
        self._hire: Callable[[], Any] = lambda: remote.remote(post, device)
        self._idle = deque(self._hire() for _ in range(count))
        self._busy: dict[Any, tuple[E, Any]] = {}
        self._coming: dict[Any, Any] = {}
        """those in place of the lost, until they are there"""

    @property
    def idle(self) -> int:
        return len(self._idle)

    def give(self, errand: E) -> None:
        actor = self._idle.popleft()
        self._busy[actor.do.remote(errand)] = errand, actor

    def take(self, seconds: float) -> tuple[E, A | None] | None:
        ready, _ = self._ray.wait([*self._busy, *self._coming], num_returns=1, timeout=seconds)
        if not ready:
            return None
        died = self._ray.exceptions.RayActorError
        if ready[0] in self._coming:
            actor = self._coming.pop(ready[0])
            try:
                self._ray.get(ready[0])
                self._idle.append(actor)
            except died:
                self._replace(actor)
            return None
        errand, actor = self._busy.pop(ready[0])
        try:
            answer: A = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, UserError) else error) from None
        except died:
            self._replace(actor)
            return errand, None
        self._idle.append(actor)
        return errand, answer

    def _replace(self, lost: Any) -> None:
        self._ray.kill(lost)  # whatever it was that made it unreachable
        actor = self._hire()
        self._coming[actor.process.remote()] = actor

    def end(self) -> None:
        busy = [actor for _, actor in list(self._busy.values())]
        for actor in [*self._idle, *busy, *list(self._coming.values())]:
            self._ray.kill(actor)

    def close(self) -> None:
        self.end()
        self._ray.shutdown()


class _Actor:
    """A worker, as Ray begins it."""

    def __init__(self, post: Post[Any, Any], device: str) -> None:
        self._post = post
        self._device = device
        self._hand: Hand[Any, Any] | None = None

    def do(self, errand: Any) -> Any:
        # Begun here: of a constructor that raises, Ray tells only that an actor has died.
        self._hand = self._hand or self._post.hand(self._device)
        return self._hand.do(errand)

    def process(self) -> int:
        """The number of its process."""
        return os.getpid()


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
