"""The agent in the real world: its threads, its fence, and what its tasks do with files and processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds that a request names
from foretell.agent import modules, secrets, steps, workspace
from foretell.agent.command import Ended, Limits
from foretell.agent.fence import Fence
from foretell.agent.lifecycle import Agent, Command, Left, Task, Upload, live, pulse
from foretell.agent.log import AttemptLog
from foretell.agent.output import Output
from foretell.errors import (
    CorruptError,
    DeliveryRejectedError,
    EnvironmentFailedError,
    ForetellError,
    NoRoomError,
    OutputError,
    PlatformError,
    StoreError,
    StoreFullError,
    WarehouseError,
)
from foretell.protocol import effects, keys
from foretell.protocol.assignment import Assignment
from foretell.protocol.effects import Effect, Effects, Revoke, Ship, Sleep, T
from foretell.protocol.keys import Attempt, run_of
from foretell.protocol.records import CommandFault, Exit, Host, Outcome, Request, Step, encode
from foretell.sources.left_out import missed
from foretell.store import Store
from foretell.store.handler import StoreHandler
from foretell.system import paths
from foretell.system.times import rfc3339
from foretell.warehouses import settle

LOG_PAUSE = 0.5


def main(assigned: Assignment, guard: int) -> int:
    """Live one agent's life; give its exit status."""
    store = Store(assigned.store)
    fence = Fence(guard)
    fence.start()
    request = effects.execute(_known(run_of(assigned.folder).request), StoreHandler(store))
    fence.allow(request.target.times.fence)
    agent = Agent(
        request=request,
        number=assigned.number,
        nonce=keys.nonce(),
        boot=assigned.boot,
        host=os.uname().nodename,
        clock=time.monotonic,
        now=now,
    )
    session = Session(agent, store, assigned, fence)
    signal.signal(signal.SIGTERM, lambda *_: session.stop())
    return session.live()


def testify(assigned: Assignment, cause: str) -> None:
    """Write, as the host, that the agent ended without a word of its own; best effort, for a waiter notices anyway."""
    attempt = run_of(assigned.folder).attempt(assigned.number)
    store = Store(assigned.store)
    try:
        store.create(attempt.host, encode(Host(boot=assigned.boot, cause=cause, at=now())))
    except StoreError as error:
        print(error, file=sys.stderr)


def now() -> str:
    """The wall time, for people."""
    return rfc3339(datetime.now(UTC))


def _known(key: str) -> Effects[Request]:
    """Read the request; the launch was recorded after it, so it is there."""
    while (request := (yield from effects.get(key, Request))) is None:
        yield Sleep(1)
    return request


class Session(StoreHandler):
    """One agent at work."""

    def __init__(self, agent: Agent, store: Store, assigned: Assignment, fence: Fence) -> None:
        super().__init__(store)
        self.agent = agent
        self.attempt: Attempt = agent.run.attempt(agent.number)
        self.request = agent.request
        self.assigned = assigned
        self.fence = fence
        self.log = AttemptLog(self._write_chunk, agent.request, agent.number)
        self.stage = "starting"
        self.stages: dict[str, float] = {}
        self._notes: list[str] = []
        self._declared: list[str] = []
        self._steps: tuple[Step, ...] = ()
        self._told: set[str] = set()
        self.limits = Limits(
            timeout=agent.request.spec.timeout,
            kill_after=agent.request.target.times.kill,
            stopping=threading.Event(),
            killing=threading.Event(),
        )
        self.work = assigned.home / "work"
        self.output = Output(agent.request, self.work, store, self)

    def live(self) -> int:
        """Live from claim to delivery; give the exit status."""
        left = effects.execute(cast("Effects[Left]", live(self.agent, claimed=self._claimed)), self)
        self.log.finish()
        return int(left)

    def stop(self) -> None:
        """Have the command end in good order; everything else is let go."""
        self.limits.stopping.set()
        if self.fence.orphaned or self.stage not in ("environment", "command"):
            self.fence.leave(Left.SUPERSEDED)

    # --- showing life -----------------------------------------------------------------------------------------

    def _claimed(self) -> None:
        asked = datetime.fromisoformat(self.request.asked_at)
        self.stages["queued"] = max(0.0, (datetime.now(UTC) - asked).total_seconds())
        threading.Thread(target=self._beat, daemon=True).start()
        self.log.event("INFO", f"attempt {self.agent.number} starts", machine=self.assigned.machine)

    def _beat(self) -> None:
        beating = pulse(self.agent, sign=lambda: (self.stage, self.log.chunks), alive=self.fence.reached)
        left = effects.execute(cast("Effects[Left]", beating), self)
        self.fence.leave(left)

    @contextmanager
    def _in(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        self.stage = stage
        try:
            yield
        finally:
            self.stages[stage] = round(time.monotonic() - began, 3)

    def _write_chunk(self, number: int, chunk: bytes) -> None:
        """Store a part of the log; who prints waits until it is there, or until the fence ends it all."""
        while True:
            try:
                self.store.create(self.attempt.log(number), chunk, durable=False)
            except StoreFullError:
                raise  # who prints may be who fills it
            except StoreError:
                time.sleep(LOG_PAUSE)
            else:
                return

    # --- the tasks --------------------------------------------------------------------------------------------

    def perform(self, op: Effect | Task) -> object:
        self.fence.hold()
        match op:
            case Command():
                return self.command()
            case Upload():
                return self.upload()
            case Ship():
                self.stage = "delivery"
                return self.output.deliver(op.outcome)
            case Revoke():
                return settle.withdraw(self.store, *op, waits=self.tell)
            case Sleep(_, error) if error:
                self._tell(error)
                return super().perform(op)
            case _:
                return super().perform(op)

    def command(self) -> Exit:
        """Prepare, run and check; every fault that is the action's own becomes an Exit."""
        ended: Ended | None = None
        try:
            with self._in("environment"):
                filed = secrets.from_file(self.request, os.environ)
                inherited = {**os.environ, **filed}
                hidden = secrets.values(self.request, inherited)
                self.log.hide({**filed, **hidden})
                place = self._prepare()
            with self._in("inputs"):
                self._insist(self.output.place_inputs)
            with self._in("command"):
                ended = self._run(place, inherited, hidden)
            if ended.ok:
                with self._in("check"):
                    self.output.check()
        except (EnvironmentFailedError, CorruptError, OutputError) as error:
            return self._end(ended, fault="failed", cause=_sentence(error), final=True)
        except (StoreFullError, NoRoomError, WarehouseError, PlatformError) as error:
            # no room, for the log or to check the predictions; or a secret that does not come, for now
            return self._end(ended, fault="failed", cause=_sentence(error))
        except DeliveryRejectedError as error:
            return self._end(ended, fault="rejected", cause=str(error))
        except OSError as error:
            return self._end(
                ended, fault="failed", cause=f"{error.strerror or error}: {error.filename or self.work}"
            )
        return self._end(ended)

    def _prepare(self) -> Path | None:
        """Lay out the source; give the model's environment, which an image brings along where it needs one."""
        snapshot = Path(paths.IMAGE_SERVICE if self.request.image else self.request.snapshot or ".")
        shutil.rmtree(self.work, ignore_errors=True)  # of an agent of this machine that was here before
        if self.request.left_out and self.agent.number == 1:
            self.note(missed(self.request.left_out, "the working directory"))
        copied = workspace.prepare(snapshot, self.work, output=self.request.spec.output)
        if copied.is_long:
            self._remark(f"created the working directory: copied {copied}")
        if self.request.image:
            place = Path(paths.IMAGE_ENVIRONMENT)
            return place if place.is_dir() else None
        # Loaded here, for an image's agent makes no environments and has not what makes them.
        from foretell.agent import environment

        self._declared = environment.words(self.request.source, snapshot, self.request.spec.steps)
        for sentence in self._declared:
            self._print(f"foretell: {sentence}\n".encode())
        return environment.ensure(
            self.request.source,
            snapshot,
            paths.cache(os.environ) / "environments",
            log=self._print,
            environ=os.environ,
            stopping=self.limits.stopping,
        )

    def _run(self, place: Path | None, inherited: Mapping[str, str], hidden: Mapping[str, str]) -> Ended:
        variables = workspace.variables(
            self.request,
            self.agent.number,
            workspace=self.work,
            environment=place,
            machine=self.assigned.machine,
            inherited=inherited,
            secrets=hidden,
        )
        said = modules.LastWords(self.log.add)
        ended, self._steps = steps.run(
            [workspace.arguments(argv, self.request) for argv in self.request.spec.steps],
            cwd=self.work,
            env=variables,
            sink=said,
            limits=self.limits,
            tick=self._tick,
            say=self._remark,
        )
        if ended.stopped:
            self.log.close()
            self.fence.leave(Left.SUPERSEDED)
        if not ended.ok and said.missing:
            why = modules.explained(said.missing, self.request.source, self._declared)
            ended = replace(ended, cause=f"{ended.cause}: {why}")
        return ended

    def _tick(self) -> None:
        self.output.load_in_background()  # begun before the command, it would take turns with its start
        self.log.tick()

    def note(self, sentence: str, *, logged: bool = True) -> None:
        """Tell what a person should know of this attempt: in its log, and once it has ended in `exit.json`."""
        if sentence not in self._notes:
            self._notes.append(sentence)
            if logged:
                self._remark(sentence)

    def _remark(self, sentence: str) -> None:
        """Say something of our own among what the command prints."""
        self.log.remark(f"foretell: {sentence}\n".encode())
        self.log.tick()

    def _print(self, text: bytes) -> None:
        self.log.add(2, text)
        self.log.tick()

    def _tell(self, error: ForetellError) -> None:
        """Say what keeps us: a warehouse that does not answer, say."""
        if not isinstance(error, StoreError):
            self.tell(str(error))

    def tell(self, text: str) -> None:
        """Say in the run's log, at once, what keeps us; once what begins with the same line."""
        first = text.partition("\n")[0]
        if first not in self._told:
            self._told.add(first)
            self._remark(text)
            self.log.close()

    def _end(
        self,
        ended: Ended | None,
        *,
        fault: CommandFault | None = None,
        cause: str = "",
        final: bool = False,
    ) -> Exit:
        if ended and not ended.ok:
            fault, cause = ("timeout" if ended.timed_out else "failed"), ended.cause
        if fault:
            self.output.discard()  # a full disk would take the last word away
        with suppress(StoreFullError):
            self.log.close()
        facts = ended or Ended()
        cause = self.log.clean(cause)  # it may repeat a value that the command wrote
        self.log.event(
            "ERROR" if fault else "INFO", cause or "the command succeeded", fault=fault, code=facts.code
        )
        return Exit(
            nonce=self.agent.nonce,
            fault=fault,
            final=final,
            cause=cause,
            code=facts.code,
            signal=facts.signal,
            oom=facts.oom,
            wall=round(facts.wall, 3),
            cpu=round(facts.cpu, 3),
            memory=facts.memory,
            steps=self._steps,
            stages=dict(self.stages),
            log=self.log.chunks,
            notes=tuple(map(self.log.clean, self._notes)),
            at=now(),
        )

    def upload(self) -> Outcome:
        """Save the output, durably, and give the outcome that this makes possible."""
        with self._in("output"):
            return self._insist(lambda: self.output.save(self.attempt, by=self.agent.nonce, at=now()))

    def _insist(self, work: Callable[[], T]) -> T:
        """Do what needs the store until it is done, or until the fence ends it all; a full store stays full."""
        pauses = effects.BACKOFF.pauses()
        while True:
            try:
                return work()
            except StoreFullError:
                raise
            except StoreError as error:
                print(error, file=sys.stderr)
                time.sleep(next(pauses))


def _sentence(error: ForetellError) -> str:
    """Return an error as the cause on record: its parts in one text."""
    return "\n".join(error.lines())
