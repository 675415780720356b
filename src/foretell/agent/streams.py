"""Standard output and error of a command, taken byte for byte as they arrive."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Mapping
from threading import Event, Thread

PIECE = 1024 * 1024
PAUSE = 0.1
REST = 4 * 1024 * 1024


class Reader:
    """
    A thread that hands every piece to `sink(stream, data)` and calls `tick` some times a second.

    A sink that blocks makes the command block, which bounds the memory. When it raises, `broken` is set, what
    comes after is dropped (a command must not hang on a full pipe while it is ended), and `finish` raises.
    """

    def __init__(
        self, pipes: Mapping[int, int], sink: Callable[[int, bytes], None], tick: Callable[[], None]
    ) -> None:
        self.broken = Event()
        self._pipes = pipes
        self._sink = sink
        self._tick = tick
        self._error: BaseException | None = None
        self._wakened, self._waker = os.pipe()
        self._thread = Thread(target=self._read, name="streams", daemon=True)
        self._thread.start()

    def finish(self, patience: float | None = None) -> None:
        """
        Take what is in the pipes and end; to be called when all who could print are dead.

        Pipes that somebody still holds open are not waited for. A sink that blocks is left alone after
        `patience` seconds. Raises what the sink raised.
        """
        os.close(self._waker)
        self._thread.join(patience)
        if self._error:
            raise self._error

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for descriptor, stream in self._pipes.items():
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ, stream)
            selector.register(self._wakened, selectors.EVENT_READ)
            self._loop(selector)
        os.close(self._wakened)

    def _loop(self, selector: selectors.BaseSelector) -> None:
        rest: int | None = None
        while True:
            ready = [key for key, _ in selector.select(PAUSE if rest is None else 0)]
            if any(key.data is None for key in ready):
                selector.unregister(self._wakened)
                rest = REST
            read = sum(self._take(selector, key) for key in ready if key.data is not None)
            self._guarded(self._tick)
            if rest is not None:
                rest -= read
                if not ready or rest <= 0:
                    return

    def _take(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> int:
        data = os.read(key.fd, PIECE)
        if data:
            self._guarded(lambda: self._sink(key.data, data))
        else:
            selector.unregister(key.fd)
        return len(data)

    def _guarded(self, call: Callable[[], None]) -> None:
        if self.broken.is_set():
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised again by `finish`
            self._error = error
            self.broken.set()
