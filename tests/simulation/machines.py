"""The platform: machines that come late, twice, or never, and the hosts that see how an agent ended."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from foretell.agent.lifecycle import Left
from foretell.errors import PlatformError, RefusedError
from foretell.protocol.effects import Begin, End, Probe
from foretell.protocol.keys import Run
from foretell.protocol.records import Host, Launch, Request, encode
from foretell.protocol.rules import MachineState
from tests.simulation.world import Process, World

DEADLINE = 1500.0
"""Seconds after which a virtual machine ends itself."""
STARTS = 3
"""How often one launch can make a machine."""


class Machine:
    """A machine of a launch, and the agents that ran on it."""

    def __init__(self, begin: Begin, born: float) -> None:
        self.run: Run = begin.request.run
        self.request: Request = begin.request
        self.launch: Launch = begin.launch
        self.number = begin.launch.number
        self.born = born
        self.died: float | None = None
        self.starts = 1
        self.up = True
        self.agents: list[Agent] = []


class Agent(Process):
    """One start of the agent on a machine."""

    def __init__(self, world: World, machine: Machine, index: int) -> None:
        super().__init__(world, f"agent{index}:{machine.number}", "agent")
        self.machine = machine
        self.run = machine.run
        self.number = machine.number
        self.nonce = f"a{index}"
        self.boot = f"b{index}"
        self.ok = self.local()
        self.beat_at = -1e9
        self.claimed = False
        self.dying = False
        self.stage = "begin"
        self.left: Left | None = None


class Command:
    """One run of a model's command."""

    def __init__(self, agent: Agent, start: float) -> None:
        self.agent = agent
        self.start = start
        self.end: float | None = None


class Machines:
    """The platform. `boot` makes an agent live."""

    def __init__(self, world: World, boot: Callable[[Agent], None]) -> None:
        self.world = world
        self.boot = boot
        self.named: dict[str, Machine] = {}
        self.agents: list[Agent] = []
        self.commands: list[Command] = []
        self.lied: set[str] = set()
        self.unrecorded: list[str] = []
        world.requests[Begin] = (self.begin, PlatformError)
        world.requests[End] = (self.end, PlatformError)
        world.requests[Probe] = (self.probe, PlatformError)
        world.on_end["agent"] = self._agent_ended

    @property
    def certain(self) -> bool:
        return self.world.hazards.platform == "process"

    @property
    def ladder(self) -> bool:
        """Whether there are larger machines, and some that are taken away."""
        return self.world.hazards.told > 0 or self.world.hazards.hungry > 0

    # --- what a client can ask -----------------------------------------------------------------------------

    def begin(self, _: Process, wish: Begin) -> None:
        if self.world.now < self.world.hazards.refused_until:
            raise RefusedError("the platform refuses")
        late = (0.05, 0.5, 5) if self.certain else (0.5, 5, 30, 250)
        self.world.after(self.world.pick(1, *late), self._appear, wish)

    def end(self, _: Process, wish: End) -> None:
        if self.world.hazards.stop_fails and (chosen := crc32(wish.launch.machine.encode()) % 4) > 1:
            if chosen == 3:
                raise RefusedError("the platform does not let this machine be stopped")
            return
        late = (0.05, 0.5) if self.certain else (0.5, 10, 90)
        self.world.after(self.world.pick(1, *late), self._stop, wish.launch.machine)

    def probe(self, _: Process, wish: Probe) -> tuple[MachineState, str]:
        machine = self.named.get(wish.launch.machine)
        up = machine is not None and machine.up
        if self.certain:
            return (MachineState.ALIVE, "") if up else (MachineState.GONE_FOR_CERTAIN, "the process is dead")
        if self.world.happens(self.world.hazards.probe_error):
            raise PlatformError("the platform does not answer")
        if self.world.happens(self.world.hazards.probe_lie):
            self.lied.add(wish.launch.machine)
            return MachineState.GONE, "a lie"
        return (MachineState.ALIVE, "") if up else (MachineState.GONE, "not found")

    # --- machines ------------------------------------------------------------------------------------------

    def _appear(self, wish: Begin) -> None:
        name = wish.launch.machine
        machine = self.named.get(name)
        if machine and (machine.up or machine.starts >= STARTS):
            return
        if machine:
            machine.up, machine.born, machine.died = True, self.world.now, None
            machine.starts += 1
        else:
            machine = self.named[name] = Machine(wish, self.world.now)
            slot = wish.request.run.attempt(wish.launch.number).launch
            if self.world.store.get(slot) != encode(wish.launch):
                self.unrecorded.append(name)
        self.world.say("platform", "machine up", name)
        if not self.certain:
            self.world.after(DEADLINE, self._expire, machine, machine.born)
        boots = (0.1, 1, 5) if self.certain else self.world.hazards.boots
        self.world.after(self.world.pick(2, *boots), self._boot, machine)
        if self.world.happens(self.world.hazards.duplicate):
            self.world.after(self.world.rng.uniform(5, 200), self._boot, machine)

    def _boot(self, machine: Machine) -> None:
        if not machine.up or (not self.certain and self.world.happens(self.world.hazards.hang)):
            return
        agent = Agent(self.world, machine, len(self.agents))
        self.agents.append(agent)
        machine.agents.append(agent)
        self._expose(agent)
        self.boot(agent)

    def _expose(self, agent: Agent) -> None:
        """Let the agent's own bad luck come."""
        world, hazards, rng = self.world, self.world.hazards, self.world.rng
        if world.happens(hazards.cut):
            begin = world.now + rng.uniform(0, 200)
            agent.cuts.append(
                (begin, begin + rng.choice((30, 90, 200, 600, 1e9 if hazards.cut_for_ever else 900)))
            )
        if world.happens(hazards.pause):
            world.after(rng.uniform(0, 250), agent.pause, rng.uniform(20, 800))
        spot = agent.machine.launch.spots_left > 0 or not self.ladder
        if spot and world.happens(hazards.preempt):
            world.after(rng.uniform(0, 300), self._preempt, agent)

    def _preempt(self, agent: Agent) -> None:
        """Take a machine away; its host may have the time to say so."""
        if agent.machine.up and self.world.happens(self.world.hazards.told):
            self._testify(agent, Host(boot=agent.boot, cause="it was taken away", reason="preempted"))
        self.down(agent.machine, "preempted")

    def _stop(self, name: str) -> None:
        if name in self.named:
            self.down(self.named[name], "stopped")

    def _expire(self, machine: Machine, born: float) -> None:
        if machine.born == born:
            self.down(machine, "deadline")

    def down(self, machine: Machine, why: str) -> None:
        """End a machine and everything on it, with no time for a word."""
        if not machine.up:
            return
        machine.up, machine.died = False, self.world.now
        self.world.say("platform", "machine down", machine.launch.machine, why)
        for agent in machine.agents:
            agent.alive = False
        for command in self.commands:
            if command.agent.machine is machine and (command.end or 1e99) > self.world.now:
                command.end = self.world.now

    # --- hosts ---------------------------------------------------------------------------------------------

    def _agent_ended(self, agent: Agent) -> None:
        """Kill what the agent left running; only then is the container over, and its host's word written."""
        running = [command for command in self.commands if command.agent is agent and command.end is None]
        kill = self.world.times.kill if running else 0.0
        for command in running:
            command.end = self.world.now + kill
        self.world.after(kill, self._container_ended, agent)

    def _testify(self, agent: Agent, word: Host) -> None:
        key = agent.run.attempt(agent.number).host
        if key not in self.world.store and not self.world.store_is_down():
            self.world.write(agent, key, encode(word))

    def _container_ended(self, agent: Agent) -> None:
        machine = agent.machine
        if not machine.up:
            return
        died = agent.left is None
        if died or not self.world.rules.quiet_host:
            self._testify(agent, Host(boot=agent.boot, cause="it died" if died else f"exit {agent.left}"))
        if not any(other.alive for other in machine.agents):
            self.down(machine, "the container has left")
