"""Work in several processes, whose results come back in order; none outlives the one that asked.

What goes to a worker and what comes back can be pickled and is small.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from knightlite.errors import DataError, KnightliteError

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

Item = TypeVar("Item")
Result = TypeVar("Result")
Argument = TypeVar("Argument")
WAITING = 2  # items per worker that wait, so that none is idle


@dataclass(frozen=True, slots=True)
class Start(Generic[Argument]):
    """What every worker does before its first item: ``begin``, a function of a module, called."""

    begin: Callable[[Argument], None]
    argument: Argument


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as it travels between processes."""

    kind: type[KnightliteError]
    sentence: str
    hint: str

    def error(self) -> KnightliteError:
        """The error again."""
        return self.kind(self.sentence, self.hint)


def ordered(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    start: Start[Argument] | None = None,
) -> Iterator[Result]:
    """What ``work``, a function of a module, makes of each item, in their order.

    The first KnightliteError of a worker is raised here. DataError where a worker was killed.
    Where the results are left before their end, workers are stopped in the middle of their work.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # spawned, not forked: ONNX Runtime's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (start,))
    following, finished = iter(items), False
    task = partial(_guarded, work)
    waiting: deque[Future[Result | Refusal]] = deque()
    try:
        for item in following:
            waiting.append(_submit(pool, task, item))
            if len(waiting) < WAITING * workers:
                continue
            yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
        finished = True
    except BrokenProcessPool as error:
        raise DataError(
            f"one of {workers} worker processes was ended, by lack of memory most likely.",
            "fewer of them: --workers 1",
        ) from error
    finally:
        if not finished:
            for child in multiprocessing.active_children():
                child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _result(found: Future[Result | Refusal]) -> Result:
    value = found.result()
    if isinstance(value, Refusal):
        raise value.error()
    return value


def _submit(
    pool: ProcessPoolExecutor, task: Callable[[Item], Result | Refusal], item: Item
) -> Future[Result | Refusal]:
    """Hand on an item. Workers, which this may start, never see Ctrl-C: this process says so.

    A signal that is blocked here is blocked in the child from its first instruction on.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(task, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _guarded(work: Callable[[Item], Result], item: Item) -> Result | Refusal:
    try:
        return work(item)
    except KnightliteError as error:
        return Refusal(type(error), error.sentence, error.hint)


def _begin(start: Start[Argument] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start.begin(start.argument)


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, however it ends."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
