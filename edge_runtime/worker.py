"""A thread that repeats a step."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker(threading.Thread):
    """A thread that repeats a step until told to end; what ends it early is kept.

    Args:
        name: For people who look at threads.
        step: Does a piece of work and waits in between.
        failed: Told when the step raised.
        close: Called at the end, in the thread.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        failed: Callable[[], None],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._close = close
        self._failed = failed
        self._ended = threading.Event()
        self.error: BaseException | None = None

    def wait(self, seconds: float) -> bool:
        """Wait inside a step; returns at once, and true, when the worker should end."""
        return self._ended.wait(max(0.0, seconds))

    def run(self) -> None:
        """Repeat the step."""
        try:
            while not self._ended.is_set():
                self._step()
        except BaseException as error:  # handed to the main thread, which decides
            self.error = error
            self._failed()
        finally:
            self._close()

    def end(self) -> None:
        """End after the step under way, and wait for that."""
        self._ended.set()
        if self.is_alive():
            self.join()
