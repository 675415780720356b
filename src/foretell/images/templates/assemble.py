"""
Assemble the agent's own Python: interpreter, libraries, packages, C library.

The first argument is a directory that stands for the root of the image, the second the agent's place in it.

Runs while the image is built, in the image of [image] agent_base. What it makes depends on nothing of the image it is
copied into, be its C library older, newer or another one: the agent is started through its own loader.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

STAGE = Path(__file__).resolve().parent
LEFT_OUT = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
    "venv",
    "__pycache__",
    "config-*",
    "_tkinter*",
    "*.a",
)
LOADED_LATE = {
    "google-auth": "google.auth.transport.requests",
    "google-cloud-bigquery": "google.cloud.bigquery",
}
"""What an agent with these packages loads when it is needed; that it can is seen before the image is made."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")


def main(root: Path, place: Path) -> None:
    """Fill the place below the root; whatever fails ends the build."""
    packages = copy_interpreter(place)
    install(packages)
    copy_libraries(place, packages.parent)
    copy_certificates(place)
    # by content and unchecked: the modules are never written again, and who runs them may write nothing
    how = PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(packages.parent), quiet=1, invalidation_mode=how, stripdir=str(root))
    subprocess.run([*started_by(place), "-I", "-c", f"import {', '.join(loaded())}"], check=True)
    forget_times(root)


def copy_interpreter(place: Path) -> Path:
    """Copy the interpreter and its library, less what an agent never loads; give the place of its packages."""
    own = Path(sysconfig.get_path("stdlib"))
    libraries = place / "lib" / own.name
    shutil.copytree(own, libraries, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    (place / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), place / "bin" / "python")
    packages = libraries / "site-packages"
    packages.mkdir()
    return packages


def install(packages: Path) -> None:
    """Install Foretell and what its agent needs, in the versions that built the image."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--root-user-action",
        "ignore",
        "--target",
        str(packages),
    ]
    subprocess.run(
        [*pip, "--only-binary", ":all:", "--requirement", str(STAGE / "requirements.txt")], check=True
    )
    (wheel,) = STAGE.glob("*.whl")
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)


def loaded() -> list[str]:
    """Return the modules that the agent loads, sooner or later."""
    pinned = [line.partition("==")[0] for line in (STAGE / "requirements.txt").read_text().splitlines()]
    return ["foretell.agent.session", *(LOADED_LATE[name] for name in pinned if name in LOADED_LATE)]


def copy_libraries(place: Path, libraries: Path) -> None:
    """Copy every shared library that something here is linked to, and the loader that finds them."""
    loader = own_loader()
    shutil.copy2(loader, place / "lib" / "ld.so")
    linked = {}
    for file in (place / "bin" / "python", *libraries.rglob("*.so*")):
        said = subprocess.run([str(loader), "--list", str(file)], capture_output=True, text=True, check=False)
        linked.update(re.findall(r"^\s*(\S+) => (/\S+)", said.stdout, re.MULTILINE))
    beside = Path(linked.get("libc.so.6", loader)).parent
    linked.update({name: str(beside / name) for name in NAME_SERVICE if (beside / name).exists()})
    for name, path in linked.items():
        if not Path(path).is_relative_to(place) and "/" not in name:
            shutil.copy2(Path(path).resolve(), place / "lib" / name)


def copy_certificates(place: Path) -> None:
    """Copy the certificate authorities that are trusted here, for a base that knows none."""
    if CERTIFICATES.exists():
        shutil.copyfile(CERTIFICATES, place / "lib" / "certificates.pem")


def forget_times(place: Path) -> None:
    """Return everything the same time, so that the same agent is the same layer, wherever it is built."""
    for path in (*place.rglob("*"), place):
        os.utime(path, (0, 0), follow_symlinks=False)


def own_loader() -> Path:
    """Return the program that loads shared libraries here: this very process was started by it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split()[-1]
        if re.search(r"/ld-[^/]*\.so", path):
            return Path(path)
    raise SystemExit("the agent's Python is linked statically; choose another [image] agent_base")


def started_by(place: Path) -> list[str]:
    """Return how the agent's Python is started."""
    return [str(place / "lib" / "ld.so"), "--library-path", str(place / "lib"), str(place / "bin" / "python")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[1] + sys.argv[2]))
