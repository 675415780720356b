"""Whatever a command writes and links: every file is saved with its bytes, and nothing from outside ever is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.store.contents import survey

NAMES = ("a", "b", "c", "é")
PLACES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
GOALS = st.one_of(
    PLACES,
    PLACES.map(lambda place: f"../{place}"),
    PLACES.map(lambda place: f"OUTPUT/{place}"),
    PLACES.map(lambda place: f"../output/{place}"),
    st.sampled_from(
        ["..", ".", "../..", "OUTSIDE", "OUTSIDE/secret", "../../outside/secret", "OUTPUT", "nowhere"]
    ),
)
TREES = st.lists(st.tuples(PLACES, st.one_of(st.none(), st.just(""), GOALS)), max_size=14)


def make(root: Path, tree: list[tuple[str, str | None]]) -> Path:
    """Write a tree: a directory for None, a file for "", else a link; whatever is in the way stays."""
    output = root / "work" / "output"
    output.mkdir(parents=True)
    (root / "outside").mkdir()
    (root / "outside" / "secret").write_text("outside")
    for number, (name, goal) in enumerate(tree):
        place = output / name
        # by its real place, for a link on the way would write outside of what is made here
        if os.path.lexists(place) or any(parent.is_symlink() or parent.is_file() for parent in place.parents):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if goal is None:
            place.mkdir()
        elif not goal:
            place.write_text(f"inside {number}")
        else:
            place.symlink_to(goal.replace("OUTPUT", str(output)).replace("OUTSIDE", str(root / "outside")))
    return output


@settings(max_examples=300, deadline=None)
@given(tree=TREES)
def test_what_is_inside_is_saved_and_nothing_else(tree: list[tuple[str, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        output = make(Path(place), tree)
        found = survey(output)
        saved = {name: path.read_text() for name, path in found.files}
        left_out = {name for name, _ in found.left_out}
        assert len(saved) == len(found.files)
        assert all(text.startswith("inside") for text in saved.values())
        real = os.path.realpath(output)
        for folder, folders, files in os.walk(output):
            for name in (*folders, *files):
                path = Path(folder, name)
                here = path.relative_to(output).as_posix()
                goal = os.path.realpath(path)
                inside = goal.startswith(f"{real}/")
                if path.is_file() and inside:
                    assert saved[here] == path.read_text()
                elif path.is_dir() and inside and path.is_symlink():
                    within = os.path.realpath(folder) == goal or os.path.realpath(folder).startswith(
                        f"{goal}/"
                    )
                    assert within == (here in left_out)
                    for one in Path(goal).iterdir():
                        if not within and one.is_file() and not one.is_symlink():
                            assert saved[f"{here}/{one.name}"] == one.read_text()
                elif path.is_symlink():
                    assert here in left_out
        for name, path in found.files:  # each is what a reader of the output would have found there
            assert saved[name] == (output / name).read_text()
            assert path.is_relative_to(output)
