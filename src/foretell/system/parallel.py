"""Work on many things at once, in threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

WORKERS = 8
T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Iterable[T], workers: int = WORKERS) -> list[R]:
    """Do the work on every item, in threads where there are several; results in order, the first error raised."""
    todo = list(items)
    if min(len(todo), workers) < 2:
        return [work(item) for item in todo]
    results: dict[int, R] = {}
    errors: list[BaseException] = []
    queue: SimpleQueue[tuple[int, T]] = SimpleQueue()
    for pair in enumerate(todo):
        queue.put(pair)

    def labour() -> None:
        for number, item in _drain(queue):
            if errors:
                return
            try:
                results[number] = work(item)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread raises it
                errors.append(error)

    threads = [threading.Thread(target=labour) for _ in range(min(workers, len(todo)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(todo))]


def _drain(queue: SimpleQueue[T]) -> Iterator[T]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
