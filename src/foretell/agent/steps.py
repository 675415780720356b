"""The commands of an attempt in turn: the first that fails ends it, and the time limit is of all together."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from foretell.agent import command as commands
from foretell.agent.command import Ended, Limits
from foretell.protocol.records import Step

WIDEST = 80
"""Characters of a command that a cause repeats."""


def run(
    steps: Sequence[Sequence[str]],
    *,
    cwd: Path,
    env: Mapping[str, str],
    sink: Callable[[int, bytes], None],
    limits: Limits,
    tick: Callable[[], None],
    say: Callable[[str], None],
) -> tuple[Ended, tuple[Step, ...]]:
    """
    Run one command, or several until one fails; see `execute.run`. Return how it ended, and how each step did.

    Before each of several, `say` gets a line about it; of a single command there is no step to tell of. Seconds and
    CPU are of all steps together, the peak memory of the largest process, the exit code of the last that was begun.
    """
    if len(steps) == 1:
        return commands.run(steps[0], cwd=cwd, env=env, sink=sink, limits=limits, tick=tick), ()
    limits = replace(limits, since=time.monotonic())
    whole, done = Ended(code=0), list[Step]()
    for number, argv in enumerate(steps, 1):
        command = shlex.join(argv)
        ended = limits.over()
        if ended is None:
            say(f"step {number} of {len(steps)}: {command}")
            ended = commands.run(argv, cwd=cwd, env=env, sink=sink, limits=limits, tick=tick)
            done.append(Step(code=ended.code, signal=ended.signal, seconds=round(ended.wall, 3)))
        whole = replace(
            ended,
            wall=whole.wall + ended.wall,
            cpu=whole.cpu + ended.cpu,
            memory=max(whole.memory, ended.memory),
        )
        if not ended.ok:
            shown = command if len(command) <= WIDEST else f"{command[: WIDEST - 1]}…"
            return replace(whole, cause=f"step {number} of {len(steps)}, {shown}: {ended.cause}"), tuple(done)
    return whole, tuple(done)
