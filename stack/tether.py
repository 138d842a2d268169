"""Runs a command whose life is tied to its parent's: when the parent dies, however it dies, the command is told so.

    python -m stack.tether --parent PID [--signal INT] [--user UID --group GID] -- COMMAND…

The process becomes the command (exec), so the pid that the parent holds is the command's own. On Linux the kernel
delivers the signal (PR_SET_PDEATHSIG, set after the change of user, which would clear it). macOS has no such call:
there a small watchdog process waits on a kqueue for either of the two to exit.

The kernel means the parent *thread*: spawn from the main thread, or from one that lives as long as the program.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def command(
    argv: Sequence[str], *, user: int | None = None, group: int | None = None, stop: signal.Signals = signal.SIGINT
) -> tuple[str, ...]:
    """`argv`, tethered to the calling process. `user` and `group` (root only): whom it runs as, in no other group."""
    as_user = () if user is None else ("--user", str(user), "--group", str(group))
    return (
        *(
            sys.executable,
            "-m",
            "stack.tether",
            "--parent",
            str(os.getpid()),
            "--signal",
            stop.name.removeprefix("SIG"),
        ),
        *as_user,
        "--",
        *argv,
    )


def _become(user: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def _signal_on_parent_death(stop: signal.Signals) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(stop), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


if sys.platform == "darwin":

    def _watch(parent: int, child: int, stop: signal.Signals) -> None:
        """Forks the watchdog, which signals `child` when `parent` exits, and leaves when `child` does."""
        if os.fork() != 0:
            return
        queue = select.kqueue()
        events = [
            select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT) for pid in (parent, child)
        ]
        try:
            first = queue.control(events, 1)
        except ProcessLookupError:  # one of them was gone before the watch began
            first = []
        if not first or first[0].ident == parent:
            os.kill(child, stop)
        os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, ties the knot and execs; returns only by an exception or exit."""
    parser = argparse.ArgumentParser(prog="python -m stack.tether", description=__doc__.splitlines()[0])
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", default="INT")
    parser.add_argument("--user", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("argv", nargs="+", metavar="COMMAND")
    options = parser.parse_args(arguments)
    stop = signal.Signals["SIG" + options.signal]

    if options.user is not None:
        _become(options.user, options.group)
    if sys.platform == "darwin":
        _watch(options.parent, os.getpid(), stop)
    elif sys.platform == "linux":
        _signal_on_parent_death(stop)
    if os.getppid() != options.parent:  # it died before the knot was tied
        sys.exit(1)
    os.execvp(options.argv[0], options.argv)  # noqa: S606 - a program with its arguments, no shell


if __name__ == "__main__":
    main()
