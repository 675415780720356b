"""Files that say what is needed to other tools than Python's."""

from __future__ import annotations

CONDA = ("environment.yml", "environment.yaml", "conda.yaml", "conda.yml")
R = "install its packages where the command runs, or in an image: [image] dockerfile"
FOLDER = "requirements"
FOREIGN = {
    **dict.fromkeys(CONDA, "write its packages into a requirements.txt"),
    "Pipfile": "`pipenv lock` makes the Pipfile.lock that is read",
    "renv.lock": R,
    "DESCRIPTION": R,
    "MLproject": "write its commands into [actions] and its packages into a requirements.txt",
    FOLDER: "name the files that are meant in [source] requirements",
}
"""What is there and cannot be taken, with what its owner can do."""
