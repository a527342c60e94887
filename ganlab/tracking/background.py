"""Calls that may fail, stall or never return, made where nobody waits for them."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable

CAPACITY = 10_000
"""Calls that may wait: at a line of metrics every second, nearly three hours of a tracker that hangs."""

MAX_ERRORS = 3


class Background:
    """Makes calls one after the other in a thread of its own.

    Nothing here raises, and nothing but `close` waits. The thread is a daemon: it never keeps a process alive.

    Args:
        name: of the logger, for messages.
        start: the first call; what it returns becomes a message, and if it raises, there are no more calls.
        abandon: called, from another thread, when a call has not returned by the end.
        capacity: calls that may wait; further ones are dropped.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], str | None],
        abandon: Callable[[], None],
        capacity: int = CAPACITY,
    ) -> None:
        self._name = name
        self._abandon = abandon
        self._calls: queue.Queue[Callable[[], object] | None] = queue.Queue(capacity)
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._num_errors = self._num_dropped = 0
        self._last_error = ""
        self._off = False
        self._thread = threading.Thread(target=self._run, args=(start,), name=f"logger {name}", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], object]) -> None:
        """Makes a call later; a full queue drops it."""
        if self._off:
            return
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._num_dropped += 1

    def messages(self) -> list[str]:
        """Returns what the user has to be told since the last time."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._messages.get_nowait())
        return found

    def close(self, deadline: float) -> None:
        """Waits until all calls are made, until `deadline` by `time.monotonic()` at most, and then gives them up."""
        with contextlib.suppress(queue.Full):  # then the thread hangs, and is given up below
            self._calls.put(None, timeout=max(0.0, deadline - time.monotonic()))
        self._thread.join(max(0.0, deadline - time.monotonic()))
        was_off, self._off = self._off, True
        if self._thread.is_alive():
            self._abandon()
            self._thread.join(1.0)
            left = self._calls.qsize() + self._num_dropped
            self._say(
                f"did not answer at the end of the run and was given up; about {left} records are missing"
            )
        elif not was_off and (self._num_errors or self._num_dropped):
            missing = self._num_errors + self._num_dropped
            self._say(f"{missing} records are missing ({self._last_error or 'it was too slow'})")

    def _run(self, start: Callable[[], str | None]) -> None:
        try:
            if message := start():
                self._say(message)
        except Exception as error:  # whatever it is: the run folder has everything
            self._switch_off(error)
        while (call := self._calls.get()) is not None:
            if self._off:
                continue
            try:
                call()
            except Exception as error:
                self._num_errors += 1
                self._last_error = _line(error)
                if self._num_errors == MAX_ERRORS:
                    self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        if not self._off:  # else it was given up, and that has been said
            self._say(f"is off for the rest of this run: {_line(error)}")
        self._off = True

    def _say(self, message: str) -> None:
        self._messages.put(f"logger {self._name}: {message}")


def _line(error: Exception) -> str:
    """Returns kind and text of an error in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
