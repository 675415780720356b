"""Files that say what is needed to other tools than Python's."""

from __future__ import annotations

CONDA = ("environment.yml", "environment.yaml", "conda.yaml", "conda.yml")
R = "install its packages where the command runs, or in an image with your own [image] dockerfile"
FOLDER = "requirements"
FOREIGN = {
    **dict.fromkeys(CONDA, "write its packages into a requirements.txt"),
    "Pipfile": "run `pipenv lock`: Pipfile.lock is read",
    "renv.lock": R,
    "DESCRIPTION": R,
    "MLproject": "write its commands into [actions] and its packages into a requirements.txt",
    FOLDER: "name the files to use in [source] requirements",
}
"""What is there and cannot be taken, with what its owner can do."""
