"""Jobs on a Ray cluster by Ray Data (extra `ray`): a generator of jobs, a pool of actors, a stream of results.

The jobs are generated on the node of the caller, which may hold files that other nodes lack. Each actor has one thread
for numerical work, as the local processes of `workers` have. The dashboard and usage statistics of Ray are off.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vivavoce.config import available_cores

J = TypeVar("J")
R = TypeVar("R")

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MAX_ATTEMPTS = 5  # at a job whose worker dies: Ray would restart workers for ever
AGAIN = "the same command resumes"
STARTS = 3  # attempts to start a node: Ray gives its processes 15 s, which is short on a busy machine
PATIENCE = 10.0  # seconds for a connection to a cluster's address; Ray would try for a quarter of an hour


@dataclass(frozen=True)
class RayCluster:
    """Where jobs run.

    address: "auto" connects to the cluster that RAY_ADDRESS or `ray start` on this machine names, and otherwise starts
    a cluster on this machine for the duration of the run. workers: actors; None: as many as the cluster has room for.
    resources: what each actor reserves: CPU, GPU, and custom resources by name.
    """

    address: str = "auto"
    workers: int | None = None
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})


def parse_resources(text: str) -> dict[str, float]:
    """Parse "CPU=1,GPU=0.5". CPU is 1 unless the text states it. Raises ValueError."""
    resources = {"CPU": 1.0}
    for part in text.split(",") if text else ():
        name, _, amount = part.partition("=")
        try:
            resources[name.strip()] = value = float(amount)
        except ValueError:
            value = -1.0
        if not name.strip() or not 0 <= value < 1e6:
            raise ValueError(f"resources is {text!r}; it must be like CPU=1,GPU=0.5")
    return resources


def map_jobs(
    jobs: Callable[[], Iterable[J]],
    function: Callable[[J], R],
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    cluster: RayCluster,
    *,
    ordered: bool,
) -> Generator[R, None, None]:
    """Yield `function(job)` for each of `jobs()`, from actors that begin with `start(*arguments)`.

    All functions must be importable on the nodes, arguments and jobs picklable. A job whose actor dies is repeated.
    ordered: yield the results in the order of the jobs, not as they are finished.
    Raises what the functions raise; ValueError if Ray is missing, the cluster does not answer or has no room for a
    worker; OSError if the cluster fails.
    """
    with _connected(cluster) as ray:
        size, most = _pool_size(ray, cluster)
        here = {f"node:{ray.util.get_node_ip_address()}": 0.001}  # a resource that this node alone has
        attempts = ray.remote(num_cpus=0, resources=here)(_Attempts).remote()
        work = pickle.dumps((function, start, arguments, os.getcwd()))
        rows = _dataset(ray, jobs, (work, attempts), here, cluster.resources, size, most, ordered)
        try:
            for row in rows:
                outcome = pickle.loads(row["outcome"])
                if isinstance(outcome, _Failure):
                    raise outcome.error
                yield outcome
        except _ray_errors(ray) as error:
            raise OSError(f"the Ray cluster failed ({type(error).__name__}: {_ends(error)}); {AGAIN}") from None
        finally:
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.kill(attempts)


def _dataset(
    ray: Any, jobs: Callable[[], Iterable[Any]], work: tuple[bytes, Any], here: dict[str, float],
    wanted: Mapping[str, float], size: int, most: int, ordered: bool,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Return the rows of the Ray Data pipeline: column outcome, pickled."""
    from ray.data import ActorPoolStrategy, DataContext, from_items

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = ordered
    context.target_max_block_size = 1  # bytes: one job in each block, so that each is delivered when it is done
    context.target_min_block_size = 0
    resources = dict(wanted)
    actor: dict[str, Any] = {"num_cpus": resources.pop("CPU", 1.0), "num_gpus": resources.pop("GPU", 0.0)}
    if resources:
        actor["resources"] = resources
    pool = ActorPoolStrategy(min_size=1, max_size=most, initial_size=size)
    seed = from_items([{"cwd": os.getcwd()}], override_num_blocks=1)
    pending = seed.map_batches(_read, fn_args=(jobs,), batch_size=None, num_cpus=0, resources=here)
    done = pending.map_batches(_Actor, fn_constructor_args=work, batch_size=1, compute=pool, **actor)
    return iter(done.iter_rows())


# ---- what runs on the nodes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Failure:
    """An exception of a job, which ends the run."""

    error: Exception


def _read(batch: dict[str, Any], jobs: Callable[[], Iterable[Any]]) -> Iterator[dict[str, list[Any]]]:
    """Generate the jobs, pickled, in a Ray task."""
    _enter(str(batch["cwd"][0]))
    try:
        for number, job in enumerate(jobs()):
            yield {"number": [number], "job": [pickle.dumps(job)]}
    except Exception as error:
        yield {"number": [-1], "job": [pickle.dumps(_Failure(_picklable(error)))]}


class _Attempts:
    """Counts how often each job was begun. Runs beside the caller, and survives the workers."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, job: int) -> int:
        self.counts[job] += 1
        return self.counts[job]


class _Actor:
    """Does the jobs. Exceptions are results, because Ray would wrap them."""

    def __init__(self, work: bytes, attempts: Any) -> None:
        import ray

        os.environ.update(dict.fromkeys(THREADS, "1"))
        self.function, self.start, self.arguments, folder = pickle.loads(work)
        _enter(folder)
        self.started, self.attempts = False, attempts
        self.restarted = ray.get_runtime_context().was_current_actor_reconstructed

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        jobs = zip(batch["number"], batch["job"], strict=True)
        return {"outcome": [pickle.dumps(self._outcome(int(number), pickle.loads(job))) for number, job in jobs]}

    def _outcome(self, number: int, job: Any) -> Any:
        if isinstance(job, _Failure):
            return job
        if self._begun(number) > MAX_ATTEMPTS:
            what = "a worker process is killed at the same job each time, or runs out of memory"
            return _Failure(OSError(f"{what}; finished work is kept"))
        try:
            if not self.started:
                self.start(*self.arguments)
                self.started = True
            return self.function(job)
        except Exception as error:
            return _Failure(_picklable(error))

    def _begun(self, number: int) -> int:
        """Return how often a job was begun. Only an actor whose process died before waits for the answer."""
        import ray

        answer = self.attempts.add.remote(number)
        return int(ray.get(answer)) if self.restarted else 1


def _enter(folder: str) -> None:
    """Work in the folder of the caller, to which paths may be relative, if this node has it."""
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {_first_line(error)}")
    return error


# ---- the cluster ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(cluster: RayCluster) -> Iterator[Any]:
    """Connect to the cluster, or start one, and leave it at the end. Yields the module ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # these are read when ray is imported
    os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")  # or a busy machine kills its own node
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its log would be printed here
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ValueError(f"ray: the package {error.name} is missing: pip install vivavoce[ray]") from None
    if ray.is_initialized():  # by a caller of the library
        yield ray
        return
    options: dict[str, Any] = {
        "include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": dict.fromkeys(THREADS, "1")},
    }  # fmt: skip
    try:
        if cluster.address == "auto":
            _connect_or_start(ray, cluster, options)
        else:
            _reach(cluster.address)
            ray.init(address=cluster.address, **options)
    except Exception as error:  # Ray raises a plain Exception, among others
        raise ValueError(f"ray {cluster.address}: no connection ({_first_line(error)})") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect_or_start(ray: Any, cluster: RayCluster, options: dict[str, Any]) -> None:
    each = cluster.resources.get("CPU", 1.0) or 1.0
    cores = max(1, round(cluster.workers * each + 0.499)) if cluster.workers is not None else available_cores()
    custom = {name: 1e6 for name in cluster.resources if name not in ("CPU", "GPU")}
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(num_cpus=cores, resources=custom or None, **options)
        except ValueError:  # an existing cluster, whose resources are fixed
            ray.init(**options)
        except Exception as error:
            if attempt == STARTS or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            continue
        return


def _reach(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT or ray://HOST:PORT. Other addresses are left to Ray."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _pool_size(ray: Any, cluster: RayCluster) -> tuple[int, int]:
    """Return the numbers of actors to begin with, and at most. Raises ValueError if there is room for none."""
    total = ray.cluster_resources()
    rooms = [int(total.get(name, 0.0) / amount + 1e-9) for name, amount in cluster.resources.items() if amount > 0]
    room = min(rooms, default=available_cores())
    if room < 1:
        wanted = ", ".join(f"{name}={amount:g}" for name, amount in cluster.resources.items())
        has = ", ".join(f"{name}={total.get(name, 0):g}" for name in cluster.resources)
        raise ValueError(f"resources is {wanted}; the cluster has only {has}")
    most = cluster.workers or room
    return min(room, most), most


def _ray_errors(ray: Any) -> tuple[type[BaseException], ...]:
    from ray.data.exceptions import SystemException, UserCodeException

    return (ray.exceptions.RayError, SystemException, UserCodeException)


def _ends(error: BaseException) -> str:
    """Return the first and the last line of a Ray message, without the traceback that may be between them."""
    lines = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    ends = dict.fromkeys((*lines[:1], *lines[-1:]))
    return " … ".join(line[:200] for line in ends)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
