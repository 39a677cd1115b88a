"""RayCluster: workers as actors of Ray, on this machine or on a cluster that is there.

Imports Ray where one is begun: it takes a second, and is not always installed.
"""

import contextlib
import logging
import os
import re
import signal
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trimtab import __version__
from trimtab.errors import OptionError, StudyError, TrimtabError, first_line
from trimtab.machine import cores
from trimtab.packages import required
from trimtab.text.wording import counted
from trimtab.tuning.worker import Orders, Recruit, Worker
from trimtab.tuning.workers import Heard

log = logging.getLogger(__name__)
LOCAL = "ray"
# Of bytes that are sent once and of what comes back, for each worker (guesses; Ray has no store below 75 MB).
STORE, STORE_OF_A_WORKER = 200 << 20, 50 << 20
# Seconds between two looks at how large a cluster is that may grow (a guess).
SECONDS_BETWEEN_LOOKS = 5.0
# Workers that could not begin, for each that was asked for, before a search is given up: it is no node's fault then
# (a guess).
MOST_FAILED_STARTS = 3
# What studies on one cluster tell each other, so that they share it: that they are there, for so many seconds (six
# looks: a guess).
NOTES, PREFIX, SECONDS_OF_A_NOTE = b"trimtab", b"study:", 30.0


@dataclass(frozen=True)
class WorkersAsked:
    """What `--workers` says: how many workers (None: one for each core, or for as many as `threads` are), and the
    `address` of a cluster that is there ("" for one of this machine that is begun and ended)."""

    count: int | None
    address: str = ""

    @classmethod
    def of(cls, given: Any) -> "WorkersAsked":
        """Of a number, "ray", "ray://HOST:10001" or "ray://HOST:10001?workers=32"; raises OptionError."""
        wrong = OptionError(
            f'--workers is {given!r}: give a number, "ray" for one on each core of this machine, or the address of a '
            'Ray cluster such as "ray://HOST:10001" or "ray://HOST:10001?workers=32".'
        )
        text = str(given).strip()
        if isinstance(given, (bool, float)) or not text:
            raise wrong
        if re.fullmatch(r"\d+", text):
            if int(text) < 1:
                raise OptionError(f"--workers is {given}: it must be at least 1.")
            return cls(int(text))
        if text == LOCAL:
            return cls(None)
        parts = urlsplit(text if "://" in text else f"//{text}")
        asked = parse_qs(parts.query)
        counts = asked.pop("workers", [""])
        try:
            is_address = parts.scheme in ("", "ray") and bool(parts.hostname) and parts.port is not None
        except ValueError:  # a port that is no number
            is_address = False
        if not is_address or asked or not re.fullmatch(r"\d*", counts[-1]) or counts[-1] == "0":
            raise wrong
        address = f"{parts.scheme}://{parts.netloc}" if parts.scheme else parts.netloc
        return cls(int(counts[-1]) if counts[-1] else None, address)


class RayCluster:
    """Workers of `threads` each as actors of Ray. A context: what it began has ended when it is left."""

    def __init__(self, asked: WorkersAsked, *, threads: int | None = None, needs_gpu: bool = False) -> None:
        if asked.address:
            _show_token()  # which Ray reads when it is imported
        self.ray: Any = required("ray", "--workers", "'trimtab[ray]'")
        self._asked, self._needs_gpu = asked, needs_gpu
        self._is_ours = self._is_local = False
        own = cores()
        count = asked.count or own
        self.threads = threads or (1 if asked.address or asked.count is None else max(1, own // count))
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}
        self._hosts: dict[int, str] = {}
        self._next = 1
        self._failed_starts = 0
        self._looked = 0.0
        self._wanted = count
        self._recruit: Any = None
        self._name = PREFIX + uuid.uuid4().hex.encode()

    def __enter__(self) -> "RayCluster":
        with _as_it_was(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is said as an error in the end, or is no error
            try:
                self._connect()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _as_it_was():
            for worker in list(self._actors):
                self.dismiss(worker)
            if not self._is_local:
                self._say_good_bye()
            if self._is_ours:
                self.ray.shutdown()

    @property
    def words(self) -> str:
        """Where it trains, in a sentence."""
        where = f"on the Ray cluster at {self._asked.address}" if self._asked.address else "of Ray on this machine"
        if not self._asked.address and not self._is_ours:
            where = "on the Ray cluster that this process is connected to"
        cores_each = counted(self.threads, "core")
        shared = self._wanted * self.threads - cores()
        crowded = f" This machine has {cores()}, which they share." if self._is_local and shared > 0 else ""
        return f"{counted(self._wanted, 'worker')} {where}, of {cores_each} each, train the trials.{crowded}"

    def _say_good_bye(self) -> None:
        from ray.experimental import internal_kv as notes

        with contextlib.suppress(Exception):
            notes._internal_kv_del(self._name, namespace=NOTES)

    # -- what Workers ask

    @property
    def asked_for(self) -> int:
        return self._wanted

    def begin(self, recruit: Recruit) -> None:
        self._recruit = self.ray.put(recruit)
        self._actor = _actor_of(self.ray)
        self._hire()

    def send(self, worker: int, orders: Orders) -> None:
        self._calls[self._actors[worker].work.remote(orders)] = worker

    def heard(self, seconds: float) -> list[Heard]:
        self._grow()
        if not self._calls:
            time.sleep(seconds)
            return []
        waiting = list(self._calls)
        try:
            ready, rest = self.ray.wait(waiting, num_returns=1, timeout=seconds)
            ready += self.ray.wait(rest, num_returns=len(rest), timeout=0)[0] if ready and rest else []
        except (ConnectionError, RuntimeError) as error:
            raise _is_gone(error) from None
        found = [self._heard(call) for call in ready]
        self._hire()
        return [each for each in found if each is not None]

    def stop(self, worker: int) -> None:
        with contextlib.suppress(Exception):  # it may be gone
            self._actors[worker].stop.remote()

    def dismiss(self, worker: int) -> None:
        actor = self._actors.pop(worker, None)
        if actor is not None:
            with contextlib.suppress(Exception):
                self.ray.kill(actor, no_restart=True)

    def where(self, worker: int) -> str:
        host = self._hosts.get(worker, "")
        return f"Worker {worker}{f' on {host}' if host else ''}"

    # -- Ray

    def _connect(self) -> None:
        ray, asked = self.ray, self._asked
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of what is to come
        if not ray.is_initialized():
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
            try:
                if asked.address:
                    del quiet["include_dashboard"]
                    ray.init(asked.address, **quiet)
                else:
                    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
                    store = STORE + STORE_OF_A_WORKER * self._wanted
                    ray.init("local", num_cpus=self._wanted * self.threads, object_store_memory=store, **quiet)
            except Exception as error:
                where = f"at {asked.address}" if asked.address else "on this machine"
                said = first_line(error).rstrip(".")
                raise OptionError(
                    f"No Ray cluster could be reached {where} ({said}). Is it running, of this version of Ray "
                    f"({ray.__version__}), and has this machine its token (~/.ray/auth_token)?"
                ) from None
            self._is_ours, self._is_local = True, not asked.address
            _hush(ray)
        elif asked.address:
            raise OptionError("Ray is connected already in this process: leave the address out (--workers ray).")
        self._count_cores()
        free = ray.available_resources().get("CPU", 0.0)
        # Other studies leave it a share of what they have.
        if free < self.threads and self._studies_there() < 2:
            there = counted(int(ray.cluster_resources().get("CPU", 0.0)), "core")
            raise OptionError(
                f"The Ray cluster has {there}, and all but {free:.0f} are promised to others: wait until some are "
                "free, or add nodes."
            )

    def _count_cores(self) -> None:
        """How many workers there are to be, of a cluster that is there: as many as were asked for, or one for each of
        its cores, of which it may get more; and of these no more than a fair share, where other studies have some."""
        if self._is_local:
            return
        resources = self.ray.cluster_resources()
        most = resources.get("GPU", 0.0) if self._needs_gpu else resources.get("CPU", 0.0) // self.threads
        share = max(1, int(most) // self._studies_there())
        self._wanted = min(share, self._asked.count or share)

    def _studies_there(self) -> int:
        """How many studies train on the cluster, this one included: each says now and then that it is there."""
        from ray.experimental import internal_kv as notes

        now = time.time()
        try:
            notes._internal_kv_put(self._name, str(now).encode(), overwrite=True, namespace=NOTES)
            names = notes._internal_kv_list(PREFIX, namespace=NOTES)
            said = [notes._internal_kv_get(name, namespace=NOTES) for name in names]
        except Exception:  # another Ray has other places for notes: nobody shares then
            return 1
        return max(1, sum(now - float(at) < SECONDS_OF_A_NOTE for at in said if at))

    def _grow(self) -> None:
        now = time.monotonic()
        if now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            with contextlib.suppress(Exception):  # what is wrong is heard of by the workers
                self._count_cores()
                self._hire()

    def _hire(self) -> None:
        """Ask for as many workers as are missing; each joins when there is room for it."""
        while len(self._actors) < self._wanted and self._recruit is not None:
            options = {"num_cpus": self.threads, "num_gpus": int(self._needs_gpu), "max_restarts": 0}
            actor = self._actor.options(**options, scheduling_strategy="SPREAD").remote(self._recruit)
            self._actors[self._next] = actor
            self._calls[actor.begin.remote()] = self._next
            self._next += 1

    def _heard(self, call: Any) -> Heard | None:
        worker = self._calls.pop(call)
        try:
            said = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TrimtabError):
                raise cause from None
            return self._lost(worker, first_line(cause or error))
        except self.ray.exceptions.RayActorError as error:
            return self._lost(worker, _why(error))
        except (ConnectionError, self.ray.exceptions.RaySystemError) as error:
            raise _is_gone(error) from None
        if isinstance(said, tuple):
            self._hosts[worker], version = said
            if version != __version__:
                raise StudyError(
                    f"{self.where(worker)} has trimtab {version}, and this is {__version__}: install one version on "
                    "all nodes."
                )
            return Heard(worker)
        return Heard(worker, said)

    def _lost(self, worker: int, why: str) -> Heard | None:
        if worker not in self._actors:
            return None
        self.dismiss(worker)
        if worker not in self._hosts:
            self._failed_starts += 1
            if self._failed_starts > MOST_FAILED_STARTS * self._wanted:
                raise StudyError(f"No worker could begin ({why}). Is trimtab installed on all nodes, of one version?")
        return Heard(worker, lost=why)


def _actor_of(ray: Any) -> Any:
    """The actor's class, which exists where Ray does."""

    class Actor:
        def __init__(self, recruit: Recruit) -> None:
            # A node has cores enough for its workers, and each of them no more than it was promised.
            self.worker = Worker(recruit)

        def begin(self) -> tuple[str, str]:
            from trimtab import __version__  # as it is there

            return socket.gethostname(), __version__

        def work(self, orders: Orders) -> Any:
            return self.worker.work(orders)

        @ray.method(concurrency_group="beside")
        def stop(self) -> None:
            self.worker.stop()

    return ray.remote(concurrency_groups={"beside": 1})(Actor)


def _why(error: BaseException) -> str:
    """Why an actor is gone, in a few words."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return first_line(cause)
    return "its node is gone" if "node has died" in str(error) else "its process has ended"


def _is_gone(error: BaseException) -> StudyError:
    return StudyError(
        f"The Ray cluster cannot be reached any more ({first_line(error)}). What was finished is kept: go on with "
        "--resume."
    )


def _show_token() -> None:
    """A cluster may ask for the token that lies in the user's folder; Ray shows it to those of this machine alone."""
    given = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    if given or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _hush(ray: Any) -> None:
    """Ray prints what its daemons have to say, of each worker that ends, into the output of whoever has begun it."""
    worker: Any = getattr(getattr(ray, "_private", None), "worker", None)
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda told, **_: log.info("%s", told)


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Ray puts a handler of its own in the place of what a process does when it is told to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
