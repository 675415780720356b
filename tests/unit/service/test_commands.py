"""Commands as text: split as by a shell, and refused where a shell would do more; several commands in turn."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from foretell.airflow.dag_docs import documentation
from foretell.errors import ServiceFileError
from foretell.service.commands import ShellOnlyError, split
from foretell.service.load import load
from foretell.service.model import Service


def loaded(root: Path, line: str) -> Service:
    (root / "foretell.toml").write_text(f'name = "x"\n[actions.training]\n{line}\n', encoding="utf-8")
    return load(root, environ={})


def faults(root: Path, line: str) -> tuple[str, ...]:
    with pytest.raises(ServiceFileError) as caught:
        loaded(root, line)
    assert caught.value.exit_code == 2
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("python m.py && python evaluate.py", "&&"),
        ("python m.py&&python evaluate.py", "&&"),
        ("python m.py || true", "||"),
        ("python m.py; python n.py", ";"),
        ("python m.py | tee log", "|"),
        ("python m.py &", "&"),
        ("curl http://host/?a=1&b=2", "&"),
        ("python m.py < data.csv", "<"),
        ("python m.py > output/log.txt 2>&1", ">"),
        ("python m.py 2>/dev/null", ">"),
        ("python m.py `date`", "`"),
        ("python m.py --date $(date +%F)", "$("),
        ('python m.py --date "$(date +%F)"', "$(date +%F)"),
        ("python m.py --home $HOME", "$HOME"),
        ('python m.py --home "$HOME/data"', "$HOME"),
        ('python m.py "${HOME}/data"', "${HOME}"),
        ("python m.py --home=${HOME:-/}", "${HOME:-/}"),
        ("python m.py $1", "$1"),
        ("python m.py ~/data", "~/"),
        ("~/bin/train", "~/"),
        ("X=1 python m.py", "X="),
        ("  PYTHONPATH=src python m.py", "PYTHONPATH="),
        ("X='a b' python m.py", "X="),
        ("python a.py\npython b.py", "a line break"),
        ("python a.py\r\n  python b.py\n", "a line break"),
        ('python "a b"&&python c', "&&"),
        ("python 'a'$HOME", "$HOME"),
        ("python \\\\$HOME", "$HOME"),
    ],
)
def test_what_only_a_shell_understands_is_no_argument(text: str, found: str) -> None:
    with pytest.raises(ShellOnlyError) as caught:
        split(text)
    assert caught.value.found == found
    assert text[caught.value.at :].startswith(found if found != "a line break" else ("\n", "\r\n"))


@pytest.mark.parametrize(
    "text",
    [
        "python m.py '&& || ; | & < > ` $( $HOME ${HOME} ~/ X=1'",
        'python -c "import a; a.run(1 < 2) || `b` & c | d > e"',
        r"python m.py a\&\&b \; \$HOME \~/data \`x\`",
        "python m.py --x=~/data a~/b '~/c' X=1",
        "env X=1 python m.py",
        "'X'=1 python m.py",
        "python m.py *.csv file? [ab] {date} {} {a,b} ~ # all",
        "python m.py a$ $ \"costs 5$\" '$1'",
        "\n  python m.py --date {date}  \n",
        "python m.py \"\" ''",
        r'python m.py "a \"b\" \\ \n"',
        "Rscript fit.R 'y ~ x' a=b=c",
        'é ü\t"ß"',
    ],
)
def test_what_is_quoted_escaped_or_plain_is_split_as_before(text: str) -> None:
    assert list(split(text)) == shlex.split(text)


@pytest.mark.parametrize(
    "text", ["python m.py \\\n  --a \\\n  b", "python m.py \\\r\n --a b", "\\\npython m.py --a b\\\n"]
)
def test_a_backslash_before_the_end_of_a_line_is_white_space(text: str) -> None:
    assert split(text) == ("python", "m.py", "--a", "b")


def test_a_fault_names_both_ways_to_write_it(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, 'command = "python m.py && python n.py"')
    assert fault == (
        'foretell.toml:3: [actions.training] "command" has "&&" outside of quotes, which only a shell understands, '
        'and commands run without one: write ["sh", "-c", "python m.py && python n.py"], or steps, '
        'commands = ["python m.py", "python n.py"]; in single quotes it is taken literally'
    )
    for line in (
        "command = 'cd x'",
        "command = 'python m.py > x'",
        "command = 'X=1 y'",
        "command = 'cd x && python y'",
    ):
        (fault,) = faults(tmp_path, line)
        assert '["sh", "-c", ' in fault
        assert 'commands = ["python a.py", "python b.py"]' in fault


@pytest.mark.parametrize(
    "text", ["cd source", "source venv/bin/activate", ". ./env", "export A", "set -e", "exit 3"]
)
def test_what_a_shell_does_to_itself_is_no_command_and_no_step(tmp_path: Path, text: str) -> None:
    for line in (f'command = "{text}"', f'commands = ["python a.py", "{text}"]'):
        (fault,) = faults(tmp_path, line)
        assert f'begins with "{text.split(maxsplit=1)[0]}", which is a shell builtin' in fault
    assert loaded(tmp_path, f"command = {text.split()}").actions["training"].command == tuple(text.split())


def test_a_long_command_is_not_repeated_in_its_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, f"command = 'python m.py {'x' * 500} | cat'")
    assert '["sh", "-c", "…"]' in fault
    assert len(fault) < 400


def test_several_commands_are_steps_each_as_text_or_as_an_array(tmp_path: Path) -> None:
    action = loaded(
        tmp_path, """commands = ["python a.py {date}", ["sh", "-c", "b && c"], "'d e'"]"""
    ).actions["training"]
    assert action.steps == (("python", "a.py", "{date}"), ("sh", "-c", "b && c"), ("d e",))
    assert (action.command, action.commands) == ((), action.steps)


def test_one_command_alone_is_no_step(tmp_path: Path) -> None:
    """So that an agent which knows no steps runs it as well."""
    action = loaded(tmp_path, 'commands = ["python a.py"]').actions["training"]
    assert (action.command, action.commands) == (("python", "a.py"), ())
    assert action.steps == (("python", "a.py"),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('command = "a"\ncommands = ["b"]', '"command" and "commands" exclude each other'),
        ("commands = []", '"commands" is empty; write ["python a.py", "python b.py"]'),
        ('commands = ["a", "b | c"]', 'step 2 of "commands" has "|"'),
        ('commands = ["a", ""]', 'step 2 of "commands" is empty'),
        ('commands = ["a", []]', 'step 2 of "commands" is empty'),
        ('commands = [["a", "\\u0000"], "b"]', 'step 1 of "commands" holds a NUL'),
        ('commands = ["a", "\'b"]', 'step 2 of "commands" cannot be split into arguments: no closing'),
        ('commands = "a && b"', '"commands" must be an array of strings or arrays of strings'),
        ("commands = [1]", '"commands" must be an array of strings or arrays of strings'),
    ],
)
def test_what_is_wrong_with_steps_is_told_by_step(tmp_path: Path, line: str, said: str) -> None:
    (fault,) = faults(tmp_path, line)
    assert said in fault, fault


def test_the_page_of_a_graph_tells_every_step(tmp_path: Path) -> None:
    service = loaded(tmp_path, 'schedule = "@daily"\ncommands = ["python a.py", ["sh", "-c", "b | c"]]')
    page = documentation(service, service.actions["training"])
    assert "| command | `python a.py`, then `sh -c b \\| c` |" in page
