"""How a run stops before its end: signals, which wait until everything is saved, and a cost that is not finite."""

import contextlib
import signal


class Interrupted(Exception):
    """A signal asked to stop, and everything is saved. `status` is the exit status: 128 + the signal's number."""

    def __init__(self, number, folder):
        super().__init__(number, folder)  # so it can be pickled on its way from a worker process
        self.status = 128 + number

    def __str__(self):
        return f"interrupted; {self.args[1]} is saved: start the same command again to continue"


class CostError(Exception):
    """The cost is not finite; the message says where."""


@contextlib.contextmanager
def deferred_signals():
    """Yields a list to which Ctrl-C and SIGTERM are added instead of taking effect; a second Ctrl-C takes effect."""
    received = []

    def note(number, frame):
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in numbers}
    except ValueError:  # only the main thread can set handlers
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
