"""What a repository says of the packages it needs."""

from __future__ import annotations

from pathlib import Path

from foretell.scaffold.commands import SOURCE, Found
from foretell.service.requirements import declared


def packages(directory: Path, found: Found) -> list[str]:
    """Say which file the packages are from, and what is not read, a sentence each."""
    places = declared.places_of(directory, SOURCE if (directory / SOURCE).is_dir() else ".")
    commands = found.commands.values()
    said = declared.sentences(declared.look(places, declared.scripts_of(commands)))
    if not said and any(command.startswith("python") for command in commands):
        said = ["no file says which Python packages are needed: write a requirements.txt, unless none are"]
    # what other tools keep commands in is told with the commands
    return [sentence for sentence in said if not sentence.startswith(found.others)]
