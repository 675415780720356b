"""What is missing on this machine or in the target, and how to mend it: every check is a value, none raises."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import uv

from foretell import warehouses
from foretell.agent.interpreter import InterpreterReport
from foretell.doctor.airflow import airflow
from foretell.doctor.env_file import env_file
from foretell.doctor.environment import needed_python, packages
from foretell.doctor.inputs import inputs
from foretell.doctor.kinds import kinds
from foretell.doctor.left_out import left_out
from foretell.doctor.ticks import ticks
from foretell.doctor.upgrading import upgrading
from foretell.errors import ForetellError
from foretell.service.model import Service, Target
from foretell.store import Store
from foretell.store.directory import STORE_RECORD
from foretell.system import paths
from foretell.system.check import Check, failed, missing, nearest, not_writable, ok

LITTLE, TOO_LITTLE = 2_000_000_000, 200_000_000
"""Bytes of free space that are worth a warning, and that do not suffice."""
OLDEST = (3, 11)
SKEW = 30.0
"""Seconds between the clocks of machine and file system that are worth a warning."""
DISTANT = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs", "lustre")
"""Types of file systems that other machines serve."""


def checks(service: Service | None, target: Target | None, environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at the machine, and at a service's needs and target where they are given."""
    yield python()
    yield uv_binary()
    yield git(environ)
    yield clock()
    yield cache(environ)
    if service is None or target is None:
        return
    yield from packages(service)
    if not target.platform.runs_images:
        yield needed_python(service, environ)
        yield from programs(service, environ)
    yield from env_file(service, environ)
    yield from left_out(service, target)
    yield from upgrading(service, target)
    yield from kinds(service, target)
    kept = store(target)
    yield kept
    if kept.state == "ok":
        yield from inputs(service, target)
        yield from ticks(service, target)
    if (directory := Store(target.store).directory) is not None:
        yield space(directory)
        yield file_system(directory)
    yield warehouse(target)
    yield from airflow(service, target)


# --- the machine ------------------------------------------------------------------------------------------------------


def python() -> Check:
    """Whether Foretell's own Python is new enough."""
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST:
        return Check(name="python", state="ok", detail=detail)
    return Check(
        name="python", state="missing", detail=detail, fix="install Foretell with Python 3.11 or newer"
    )


def uv_binary() -> Check:
    """Whether uv, which makes the models' environments, can be run."""
    fix = f"{sys.executable} -m pip install --force-reinstall uv"
    try:
        said = _call([uv.find_uv_bin(), "--version"], {})
    except OSError as error:
        return Check(name="uv", state="missing", detail=str(error), fix=fix)
    detail = (said.output or said.errors).strip()
    return (
        Check(name="uv", state="ok", detail=detail)
        if said.ok
        else Check(name="uv", state="missing", detail=detail, fix=fix)
    )


def git(environ: Mapping[str, str]) -> Check:
    """Whether revisions can be recorded."""
    found = shutil.which("git", path=environ.get("PATH"))
    if found:
        return Check(name="git", state="ok", detail=found)
    return Check(
        name="git", state="warning", detail="not found: runs do not record their revision", fix="install Git"
    )


def clock() -> Check:
    """Whether the clock is later than the day Foretell was installed, and the file system agrees with it."""
    now = time.time()
    installed = Path(__file__).stat().st_mtime
    with tempfile.NamedTemporaryFile(prefix="foretell-") as file:
        skew = os.fstat(file.fileno()).st_mtime - now
    detail = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    fix = "set the clock, by NTP best: dates of runs come from it"
    if now < installed - 86400:
        return Check(
            name="clock", state="missing", detail=f"{detail} is before Foretell was installed", fix=fix
        )
    if abs(skew) > SKEW:
        return Check(name="clock", state="warning", detail=f"files are {skew:+.0f} s away from it", fix=fix)
    return Check(name="clock", state="ok", detail=detail)


def cache(environ: Mapping[str, str]) -> Check:
    """Whether environments can be kept."""
    place = paths.cache(environ) / "environments"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    except OSError as error:
        fix = "make it writable, or set FORETELL_CACHE to a directory that is"
        return Check(name="cache", state="missing", detail=f"{place}: {error.strerror or error}", fix=fix)
    return Check(name="cache", state="ok", detail=str(place))


# --- the service's needs ----------------------------------------------------------------------------------------------


def programs(service: Service, environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether the programs of the commands are there; Python comes with the environment."""
    for program in dict.fromkeys(argv[0] for action in service.actions.values() for argv in action.steps):
        if program.startswith("python"):
            continue
        inside = "/" in program
        there = (
            (service.root / program).exists() if inside else shutil.which(program, path=environ.get("PATH"))
        )
        if there:
            yield Check(name="program", state="ok", detail=f"{program}{'' if inside else f': {there}'}")
        else:
            fix = f'install "{program}", or see that the requirements bring it'
            yield Check(name="program", state="warning", detail=f"{program} is not found here", fix=fix)


# --- the target -------------------------------------------------------------------------------------------------------


def store(target: Target) -> Check:
    """Whether the store keeps what is created, once: an object is created twice, and a file, and read back."""
    scratch = Store(f"{target.store}/.doctor-{uuid.uuid4().hex}")
    try:
        return _tried(scratch, target)
    except ForetellError as error:
        return failed("store", error)
    except OSError as error:
        return Check(
            name="store",
            state="missing",
            detail=f"{target.store}: {error.strerror or error}",
            fix="check the disk",
        )
    finally:
        if scratch.directory is not None:
            shutil.rmtree(scratch.directory, ignore_errors=True)


def _tried(scratch: Store, target: Target) -> Check:
    """Try on keys that nobody reads what every run relies on."""
    word = uuid.uuid4().hex.encode()
    created = scratch.create(STORE_RECORD, word)
    again = scratch.create(STORE_RECORD, b"second")
    read = scratch.get(STORE_RECORD)
    with tempfile.NamedTemporaryFile(prefix="foretell-") as file:
        linked = scratch.create_file("file", Path(file.name))
    for key in ("file", STORE_RECORD):
        scratch.remove(key)
    if created and not again and read == word and linked:
        return Check(name="store", state="ok", detail=target.store)
    return Check(
        name="store",
        state="missing",
        detail=f"{target.store} does not keep create-once: created {created}, again {again}, read back {read == word}",
        fix="use a local disk, gs:// or s3://",
    )


def warehouse(target: Target) -> Check:
    """Whether the warehouse opens."""
    file = target.warehouse.file
    try:
        known = warehouses.connect(target.warehouse).tables()
    except ForetellError as error:
        return failed("warehouse", error)
    if file and (fault := not_writable(file.parent)):
        return missing("warehouse", fault.strerror or str(fault), "make its directory writable")
    tables = f"{len(known)} tables" if len(known) != 1 else "1 table"
    return ok("warehouse", f"{file or target.warehouse.dataset}, {tables}")


def free_space(directory: Path) -> int:
    """Return the free bytes of a directory's disk."""
    return shutil.disk_usage(directory).free


def space(directory: Path, free_in: Callable[[Path], int] = free_space) -> Check:
    """Whether there is room for runs."""
    free = free_in(nearest(directory))
    detail = f"{free / 1e9:,.1f} GB free at {directory}"
    if free >= LITTLE:
        return Check(name="disk", state="ok", detail=detail)
    fix = "free some; `foretell tidy` removes what dead machines left"
    return Check(name="disk", state="warning" if free >= TOO_LITTLE else "missing", detail=detail, fix=fix)


def file_system(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> Check:
    """Whether the store's directory lies on a file system of this machine; told by `mounts` where the system has it."""
    try:
        lines = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return Check(name="file system", state="ok", detail="of a kind this system does not tell")
    place = nearest(directory).resolve()
    above = [(Path(line[1].replace("\\040", " ")), line[2]) for line in lines if len(line) > 2]
    kinds = {len(mount.parts): kind for mount, kind in above if place.is_relative_to(mount)}
    kind = kinds[max(kinds)] if kinds else "unknown"
    if kind not in DISTANT:
        return Check(name="file system", state="ok", detail=kind)
    fix = 'set stale = "120s" or more in [targets.X.times], or put the store on a local disk or a bucket'
    return Check(
        name="file system",
        state="warning",
        detail=f"{kind}: others' writes are seen up to 60 s late",
        fix=fix,
    )


def _call(argv: Sequence[str], environ: Mapping[str, str]) -> InterpreterReport:
    done = subprocess.run(
        argv,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return InterpreterReport(ok=done.returncode == 0, output=done.stdout, errors=done.stderr)
