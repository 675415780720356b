"""
The host of an agent on this machine: its parent, its deadline, and the second witness of its death.

Started by the platform with the machine's lock in hand, or before as a spare, it forks the agent and waits. As long
as guard or agent live, the lock is held, so whoever looks knows for certain. The agent dies with its guard (on Linux
at once, elsewhere within a second); when the agent ends, the guard ends everything that it left behind; when the time
is over or a stop is asked for (TERM), both. Nothing that is imported before the fork starts a thread.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from foretell.protocol.assignment import Assignment, parse
from foretell.system.processes import kill_survivors, marker
from foretell.system.standby import await_post, load_msgspec

CLEAN = frozenset({0, 80})
"""Of these, the statuses of an agent that has ended its command and all below it, or never had one."""
WORDS = frozenset({0, 80, 81, 82})
"""Exit statuses by which an agent says itself that it is done: see `lifecycle.Left`."""
FENCED = 81
PR_SET_PDEATHSIG = 1
CERTIFICATES = Path(__file__).parents[4] / "certificates.pem"
"""In an image, the certificate authorities that came with the agent's Python."""
KNOWN_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
)
TAIL = 2000


def main(argv: list[str]) -> int:
    """Guard one agent; return the guard's exit status. A single argument is the line on which its assignment comes."""
    if len(argv) == 1:
        _load_session()
        posted = await_post(int(argv[0]))
        if posted is None:
            return 0
        argv = posted
    assigned = parse(argv)
    if assigned.lock >= 0:
        os.pwrite(assigned.lock, str(os.getpid()).encode(), 0)
        os.set_inheritable(assigned.lock, False)
    elif CERTIFICATES.exists() and not any(map(os.path.exists, KNOWN_CERTIFICATES)):
        # a base that trusts nobody is no reason not to reach the store
        os.environ.setdefault("SSL_CERT_FILE", str(CERTIFICATES))
    assigned.home.mkdir(parents=True, exist_ok=True)
    os.chdir(assigned.home)
    wake = _listen()
    _say_where_errors_go(assigned.home)
    guard = os.getpid()
    agent = os.fork()
    if not agent:
        _become_agent(assigned, guard)
    status = _wait(agent, wake, assigned)
    if status not in CLEAN:
        kill_survivors(marker(assigned.machine))
    _clear(assigned.home, everything=status in WORDS - {FENCED})
    if status not in WORDS:
        _testify(assigned, status)
        return 1
    return 0


def _listen() -> int:
    """Have every signal of interest wake a pipe, and ignore the terminal's going away."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return reader


def _say_where_errors_go(home: Path) -> None:
    """Point standard output and error at a file, the last words of an agent that dies."""
    words = os.open(home / "agent.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(words, descriptor)
    os.close(words)


def _become_agent(assigned: Assignment, guard: int) -> None:
    """Be the agent: never returns."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if sys.platform == "linux":
            # not KILL: the command has to go as well
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guard:
            return  # it died before it could be known
        _load_session()
        from foretell.agent import session

        status = session.main(assigned, guard)
    except BaseException as error:  # noqa: BLE001 - the last words of a process, whatever ended it
        with suppress(OSError):  # of a full disk
            sys.excepthook(type(error), error, error.__traceback__)
            sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
            sys.stderr.flush()
    finally:
        os._exit(status)


def _load_session() -> None:
    """Load what an agent needs: by the agent itself, or by a guard that has to wait anyway. It starts no thread."""
    gc.disable()  # modules are no garbage; to look for it among them takes 5 ms
    load_msgspec()
    from foretell.agent import session  # noqa: F401 - so that it is loaded

    gc.enable()


def _wait(agent: int, wake: int, assigned: Assignment) -> int:
    """Wait for the agent's end, and bring it about when the time is over or a stop is asked for."""
    end = time.monotonic() + assigned.deadline
    stopping = False
    while True:
        done, status = os.waitpid(-1, os.WNOHANG)  # also the orphans that process 1 of a container is given
        if done == agent:
            return os.waitstatus_to_exitcode(status)
        if done:
            continue
        left = end - time.monotonic()
        if left <= 0:
            if stopping or not _signal(agent, signal.SIGTERM):
                _signal(agent, signal.SIGKILL)
            stopping, end = True, time.monotonic() + assigned.kill_after + 2
            continue
        select.select([wake], [], [], left)
        if signal.SIGTERM in _signals(wake) and not stopping:
            _signal(agent, signal.SIGTERM)
            stopping, end = True, time.monotonic() + assigned.kill_after + 2


def _signals(wake: int) -> bytes:
    try:
        return os.read(wake, 512)
    except BlockingIOError:
        return b""


def _signal(agent: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(agent, number)
        return True
    return False


def _clear(home: Path, *, everything: bool) -> None:
    """Remove what the agent leaves; of one that died or was cut off, its last words stay."""
    if everything:
        # Renamed first, so that whoever looks sees the machine as it was or not at all.
        home = home.rename(home.with_name(f".{home.name}"))
        shutil.rmtree(home, ignore_errors=True)
        return
    for leftover in ("work", "checked"):
        shutil.rmtree(home / leftover, ignore_errors=True)


def _testify(assigned: Assignment, status: int) -> None:
    """Write what the host saw: the agent ended without a word of its own."""
    how = f"by signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"with status {status}"
    words = (assigned.home / "agent.err").read_bytes()[-TAIL:].decode(errors="replace").strip()
    last = words.splitlines()[-1] if words else ""
    cause = f"the agent ended {how}{f': {last}' if last else ''}"
    from foretell.agent import session

    session.testify(assigned, cause)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
