"""What is wrong with a foretell.toml: every fault at once, each on its line, and never a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from foretell.errors import ServiceFileError
from foretell.service.load import find, load

LEAST = """\
name = "example"
[actions.training]
command = "train"
"""
DELIVERING = LEAST + '[actions.training.delivery]\nfile = "p.csv"\n'
MACHINES = '[targets.x]\nstore = "gs://b"\n[targets.x.platform]\nkind = "compute-engine"\n'


def faults(root: Path, text: str) -> tuple[str, ...]:
    (root / "foretell.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ServiceFileError) as caught:
        load(root, environ={})
    assert caught.value.exit_code == 2
    return caught.value.faults


# --- what cannot be read at all


def test_no_file_anywhere(tmp_path: Path) -> None:
    with pytest.raises(ServiceFileError, match=r'no "foretell\.toml" here'):
        find(tmp_path)
    with pytest.raises(ServiceFileError, match="does not exist"):
        load(tmp_path, environ={})


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"name = \n", "foretell.toml:1:8: not TOML: invalid value"),
        (b'name = "x"\nname = "y"\n', "foretell.toml:2:11: not TOML: cannot overwrite a value"),
        (b"a = [", "foretell.toml:1:6: not TOML: invalid value"),
        (b"a = 1\n\nb = '\xff'\n", "foretell.toml:3: not UTF-8: the byte 0xff; save the file as UTF-8"),
        (b"a = " + b"[" * 5000, "foretell.toml:1: nested too deeply to be read"),
    ],
)
def test_what_is_not_toml(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "foretell.toml").write_bytes(content)
    with pytest.raises(ServiceFileError) as caught:
        load(tmp_path, environ={})
    (found,) = caught.value.faults
    assert found.startswith(fault)


def test_an_empty_file_lacks_a_name_and_actions(tmp_path: Path) -> None:
    name, actions = faults(tmp_path, "")
    assert actions.startswith("foretell.toml:1: there are no actions")
    assert name.startswith('foretell.toml:1: missing key "name"')


def test_a_directory_a_pipe_and_a_circle_of_links_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "foretell.toml").mkdir(parents=True)
    for name in "bc":
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "b" / "foretell.toml")
    (tmp_path / "c" / "foretell.toml").symlink_to("foretell.toml")
    for name, why in {"a": "is a directory", "b": "not a regular file", "c": "too many levels"}.items():
        with pytest.raises(ServiceFileError, match=why):
            load(tmp_path / name, environ={})


def test_a_file_that_may_not_be_read() -> None:
    # not below tmp_path, which nobody but its owner may enter
    with TemporaryDirectory() as place:
        file = Path(place, "foretell.toml")
        file.write_text(LEAST, encoding="utf-8")
        file.chmod(0)
        Path(place).chmod(0o755)
        with as_nobody(), pytest.raises(ServiceFileError, match="cannot be read"):
            load(file, environ={})


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody who may not read everything, where the tests are run by root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


# --- faults, each with its line

ACTION = "[actions.a]\ncommand = 'x'\n"
FAULTS = [
    ('nam = "x"\n', '1: unknown key "nam"; did you mean "name"?'),
    ("[training]\nretries = 1\n", '1: unknown key "training"; did you mean [actions.training]?'),
    ("version = 1\n", '1: "version" must be a string, not the integer 1; put it in quotes'),
    ('version = "A"\n', '1: bad version "A"'),
    ('target = "x"\n', '1: unknown target "x"; known: local, docker'),
    ('target = "locl"\n', '1: unknown target "locl"; did you mean "local"?'),
    ('timezone = "Europe/Stokholm"\n', '1: unknown time zone "Europe/Stokholm"; did you mean'),
    ('timezone = "Europe"\n', '1: unknown time zone "Europe"'),
    ('timezone = "../../etc/passwd"\n', "1: unknown time zone"),
    ('timezone = "localtime"\n', '1: the time zone "localtime" is not the same on every machine; write for example Europe/'),
    ('timezone = "posixrules"\n', '1: the time zone "posixrules" is not the same on every machine'),
    ('timezone = "right/Europe/Paris"\n', '1: the time zone "right/Europe/Paris" is not the same'),
    ("actions = 1\n", '1: "actions" must be a table, not the integer 1'),
    ("[env]\nNAME = 'x'\n", '2: [env] the variable "NAME" is set by Foretell'),
    ("[env]\nFORETELL_X = 'x'\n", '2: [env] the variable "FORETELL_X" is set'),
    ("[env]\n'A=B' = 'x'\n", '2: [env] bad variable name "A=B"'),
    ("[env]\nPORT = 8080\n", '2: [env] "PORT" must be a string, not the integer 8080; put it in quotes'),
    ('[env]\nA = "\\u0000"\n', '2: [env] the variable "A" holds a NUL'),
    ("[source]\npath = '../model'\n", '2: [source] the path "../model" must stay inside'),
    ("[source]\npath = '/model'\n", '2: [source] the path "/model" must stay inside'),
    ("[source]\npath = 'model'\n", '2: [source] no directory "model"'),
    ("[source]\npython = 3.10\n", '2: [source] "python" must be a string or true or false, not the number 3.1; put'),
    ("[source]\npython = 'three'\n", '2: [source] "python" is not a version: "three"'),
    ("[source]\nrequirements = 'r.txt'\n", '2: [source] "requirements" must be an array of strings'),
    ("[source]\nrequirements = [\n'r.txt']\n", '3: [source] no requirement file "r.txt"'),
    ("[actions.Training]\ncommand = 'x'\n", '1: [actions] bad action name "Training"'),
    ("[actions.a]\ncommand = ''\n", '2: [actions.a] "command" is empty'),
    ("[actions.a]\ncommand = []\n", '2: [actions.a] "command" is empty'),
    ("[actions.a]\ncommand = 'x \"'\n", '2: [actions.a] "command" cannot be split'),
    (ACTION + "schedul = '@daily'\n", '3: [actions.a] unknown key "schedul"; did you mean'),
    (ACTION + "schedule = '99 * * * *'\n", '3: [actions.a] bad schedule "99 * * * *": bad minute'),
    (ACTION + "after = ['b']\n", '3: [actions.a] "after" names the unknown action "b"'),
    (ACTION + "inputs = ['trainin']\n", '3: [actions.a] "inputs" names the unknown action "trainin"; d'),
    (ACTION + "inputs = {training = '../x'}\n", '3: [actions.a.inputs] the path "../x" must stay'),
    (ACTION + "inputs = ['a']\n", '3: [actions.a] "inputs" is circular: a -> a'),
    (ACTION + "output = '.'\n", '3: [actions.a] "output" must be a separate directory'),
    (ACTION + "output = 'x/../..'\n", '3: [actions.a] the path "x/../.." must stay inside'),
    (ACTION + "timeout = '6 hours'\n", '3: [actions.a] "timeout" is not a duration: "6 hours"'),
    (ACTION + "timeout = nan\n", '3: [actions.a] "timeout" must be above 0'),
    (ACTION + "timeout = 0\n", '3: [actions.a] "timeout" must be above 0'),
    (ACTION + "retries = -1\n", '3: [actions.a] "retries" must be an integer from 0 to 1000'),
    (ACTION + "retries = true\n", '3: [actions.a] "retries" must be an integer'),
    (ACTION + "[actions.a.airflow]\npol = 'x'\n", '4: [actions.a.airflow] unknown key "pol"; did you mean "pool"'),
    (ACTION + "[actions.a.airflow]\npool = ' '\n", '4: [actions.a.airflow] "pool" is empty'),
    (ACTION + "[actions.a.airflow]\nstart = '1 May'\n", '4: [actions.a.airflow] "start" is not a date: "1 May"'),
    (ACTION + "[actions.a.airflow]\nstart = 2026-05-01\n", '4: [actions.a.airflow] "start" must be a string'),
    (ACTION + "[actions.a.airflow]\ncatchup = true\n", '4: [actions.a.airflow] "catchup" needs a start date'),
    (ACTION + "[actions.a.airflow]\nmax_active_runs = 0\n", '4: [actions.a.airflow] "max_active_runs" must be'),
    (ACTION + "[actions.a.airflow]\nretry_delay = 'x'\n", '4: [actions.a.airflow] "retry_delay" is not a duration'),
    (
        ACTION + "[actions.a.airflow]\nstart = '2026-05-02'\nend = '2026-05-01'\n",
        '5: [actions.a.airflow] "end" is before "start"',
    ),
    ("[targets.x.actions.training]\nx = inf\n", '2: [targets.x.actions.training] "x" must be a finite number'),
    ("[targets.Prod]\n", '1: [targets] bad target name "Prod"'),
    ("[targets.x]\nstore = 'ftp://x'\n", '2: [targets.x] unknown store "ftp://"'),
    ("[targets.x]\nstore = ''\n", '2: [targets.x] "store" is not a path or URL'),
    ("[targets.x]\nstore = 'gs://'\n", '2: [targets.x] "store" is not a path or URL'),
    ("[targets.x]\nstore = 'file://x'\n", '2: [targets.x] "store" needs three slashes'),
    ("[targets.x.platform]\nkind = 'doker'\n", '2: [targets.x.platform] unknown kind of platform "doker"'),
    ("[targets.x.warehouse]\nkind = 'postgres'\n", "2: [targets.x.warehouse] unknown kind of warehouse"),
    ("[targets.x.warehouse]\ndataset = 'a-b'\n", '2: [targets.x.warehouse] bad dataset name "a-b"'),
    ("[targets.local.platform]\nzones = []\n", '2: [targets.local.platform] unknown key "zones"; it belong'),
    ("[targets.x.actions.b]\n", '1: [targets.x.actions] unknown action "b"'),
    ("[targets.x.times]\nlease = 100\n", "1: [targets.x.times] lease must be larger"),
    ("[targets.x.times]\nbeat = '5'\n", '2: [targets.x.times] "beat" is not a duration: "5"'),
    (MACHINES + "zones = ['a']\n", '3: [targets.x.platform] missing key "project"'),
    (MACHINES + "project = 'p'\nzones = []\n", '6: [targets.x.platform] "zones" must be an array of'),
    ("[targets.docker.platform]\ncpus = 0\n", '2: [targets.docker.platform] "cpus" must be a number above 0'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), FAULTS, ids=[text for text, _ in FAULTS])
def test_a_fault_stands_on_its_line(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "least.toml").write_text(LEAST, encoding="utf-8")
    line, words = fault.split(":", 1)
    found = faults(tmp_path, 'extends = "least.toml"\n' + text)
    assert len(found) == 1, found
    assert found[0].startswith(f"foretell.toml:{int(line) + 1}:{words}"), found[0]


DELIVERY_FAULTS = [
    ("columns = 'a:STRIN'\n", '6: the column "a" has the unknown type "STRIN"; did you mean "STRING"?'),
    ("columns = 'a:NUMERIC(10,2),b:BOOL'\n", '6: the column "a" has the unknown type "NUMERIC(10,2)"'),
    ("columns = 'a,b:BOOL'\n", '6: bad column "a"; write name:TYPE'),
    ("columns = 'a:BOOL,A:BOOL'\n", '6: duplicate column "A"'),
    ("columns = 'a b:BOOL'\n", '6: bad column name "a b"'),
    ("columns = ''\n", '6: missing key "columns"'),
    ("columns = {}\n", '6: missing key "columns"'),
    ("", '4: missing key "columns": write "customer_id:STRING,label:BOOL"; or remove this table and run once'),
    ("columns = {a = 3}\n", '6: "a" must be a string or a table'),
    ("columns = {a = {mode = 'REQUIRED'}}\n", '6: the column "a" has no "type"'),
    ("columns = {a = {type = 'BOOL', mode = 'REPEATED'}}\n", '6: "mode" must be "NULLABLE" or "REQUIRED"'),
    ("columns = {a = {type = 'STRING', from = '@modle'}}\n", '6: unknown source "@modle"; did you mean'),
    ("columns = {a = {type = 'STRING', from = '@model'}}\n", '6: "@model" is the run of the first input'),
    ("columns = {a = {type = 'BOOL', from = '@date'}}\n", '6: "@date" needs the type DATE or'),
    ("columns = 'a:BOOL'\nmode = 'partitions'\n", '7: "mode" must be "replace" or "append" or "partition"'),
    ("columns = 'a:BOOL'\nmode = 'partition'\n", '4: mode "partition" needs the key "partition"'),
    ("columns = 'a:BOOL'\npartition = 'd'\n", '7: "partition" is only allowed with mode = "partition"'),
    ("granularity = 'hour'\npartition = 'd'\ncolumns = 'd:DATE'\nmode = 'partition'\n", "7: granularity"),
    ("columns = 'D:DATE'\nmode = 'partition'\npartition = 'd'\n", '8: duplicate column "d"'),
    ("columns = '_PARTITIONTIME:DATE'\n", '6: BigQuery reserves the column name "_PARTITIONTIME"'),
    ("columns = {_table_x = 'BOOL'}\n", '6: BigQuery reserves the column name "_table_x"'),
    ("columns = 'a:BOOL'\nextra = 'drop'\n", '7: "extra" must be "refuse" or "ignore"'),
    ("columns = 'a:BOOL'\nnull = 'NA'\n", '7: "null" must be an array'),
    ("columns = 'a:BOOL'\nnull = ['NA', 'n,a']\n", '7: "n,a" can never be a whole unquoted cell'),
    ("columns = 'a:BOOL'\nnulls = ['NA']\n", '7: unknown key "nulls"; did you mean "null"?'),
    ("columns = 'a:BOOL'\ntable = 'a.b.c'\n", '7: bad table name "a.b.c"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"), DELIVERY_FAULTS, ids=[text or "no columns" for text, _ in DELIVERY_FAULTS]
)
def test_a_fault_of_a_delivery(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, DELIVERING + text)
    line, words = fault.split(": ", 1)
    assert found.startswith(f"foretell.toml:{line}: [actions.training.delivery")
    assert words in found


def test_a_delivery_needs_a_file_inside_of_the_output(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, DELIVERING.replace('file = "p.csv"', 'columns = "a:BOOL"'))
    assert 'missing key "file"' in fault
    (fault,) = faults(tmp_path, DELIVERING.replace("p.csv", "../p.csv") + 'columns = "a:BOOL"\n')
    assert 'the path "../p.csv" must stay inside the output directory' in fault


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ("", "", "main.predictions"),
        ('table = "a"', 'table = "A"', "main.A"),
        ('table = "main.a"', 'table = "a"', "main.a"),
        ('table = "a_latest"', 'table = "a"\nmode = "partition"\npartition = "d"', "main.a_latest"),
    ],
)
def test_two_deliveries_to_one_table(tmp_path: Path, first: str, second: str, twice: str) -> None:
    other = DELIVERING.replace(LEAST, '[actions.b]\ncommand = "x"\n').replace("training", "b")
    columns = 'columns = "a:STRING"\n'
    (fault,) = faults(tmp_path, f"{DELIVERING}{first}\n{columns}{other}{second}\n{columns}")
    assert f'the table "{twice}" is also the table of [actions.training]' in fault


def test_circles_among_actions_are_all_told(tmp_path: Path) -> None:
    text = 'name = "x"\n' + "".join(
        f'[actions.{name}]\ncommand = "x"\n{key} = ["{other}"]\n'
        for name, key, other in [
            ("a", "inputs", "b"),
            ("b", "inputs", "a"),
            ("c", "after", "d"),
            ("d", "after", "c"),
        ]
    )
    first, second = faults(tmp_path, text)
    assert first == 'foretell.toml:4: [actions.a] "inputs" is circular: a -> b -> a'
    assert second == 'foretell.toml:10: [actions.c] "after" is circular: c -> d -> c'


def test_a_machine_elsewhere_sees_no_directory_of_this_one(tmp_path: Path) -> None:
    machine = MACHINES + 'project = "p"\nzones = ["z"]\n'
    (fault,) = faults(tmp_path, LEAST + machine.replace('store = "gs://b"\n', ""))
    assert 'missing key "store"' in fault
    (fault,) = faults(tmp_path, LEAST + machine.replace("gs://b", "runs"))
    assert '"store" is the directory "runs"' in fault
    (fault,) = faults(tmp_path, LEAST + machine + '[targets.x.warehouse]\nkind = "duckdb"\n')
    assert "cannot see a duckdb file" in fault


def test_every_fault_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = 'nam = "x"\nversion = 1\n[env]\nA = 1\n[actions.a]\ncommand = ""\ntimeout = "x"\n[actions.b]\n'
    found = faults(tmp_path, text)
    assert [int(fault.split(":")[1]) for fault in found] == [1, 1, 2, 4, 6, 7, 8]


def test_the_message_names_file_faults_and_next_step(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(LEAST.replace("example", "X"), encoding="utf-8")
    with pytest.raises(ServiceFileError) as caught:
        load(tmp_path, environ={})
    first, fault, where, hint = str(caught.value).splitlines()
    assert first == '"foretell.toml" has an error'
    assert fault.startswith('  foretell.toml:1: bad name "X"')
    assert where.endswith("foretell.toml")
    assert hint.startswith("  next: ")


def test_a_message_stays_on_its_line_whatever_it_quotes(tmp_path: Path) -> None:
    found = faults(tmp_path, LEAST + '[env]\n"a\\n\\u001b[31m" = "x"\n')
    assert found == ('foretell.toml:5: [env] bad variable name "a\\n\\x1b[31m"; use A-Z, a-z, 0-9 and _',)


def test_a_bucket_is_not_written_more_than_once_a_second(tmp_path: Path) -> None:
    quick = '[targets.x]\nstore = "gs://b"\n[targets.x.times]\nbeat = 0.5\n'
    (fault,) = faults(tmp_path, LEAST + quick)
    assert "[targets.x.times] beat must be at least 1s: a bucket takes one write a second" in fault
    (tmp_path / "foretell.toml").write_text(LEAST + quick.replace("gs://b", "runs"))
    assert load(tmp_path, environ={}).targets["x"].times.beat == 0.5


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("hunter2", "is not a reference"),
        ("projects/p/secrets/s/versions/latest", "does not pin a version number"),
        ("projects/p/secrets/s", "does not pin a version number"),
        ("projects/p/secrets/s/versions/0", "is not a reference"),
        ("projects/p/locations/europe-west1/secrets/s/versions/3", "is a regional secret"),
    ],
)
def test_a_secret_is_a_reference_to_one_version(tmp_path: Path, reference: str, why: str) -> None:
    (fault,) = faults(tmp_path, LEAST + f'secrets = {{TOKEN = "{reference}"}}\n')
    assert f'the secret "TOKEN" {why}' in fault
    assert 'write "projects/PROJECT/secrets/SECRET/versions/3"' in fault or "use a global one" in fault
    assert "hunter2" not in fault


# --- links


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("/etc", 'the path "/etc" must stay inside the directory of this file'),
        ("../x", 'the path "../x" must stay inside'),
        (".", "the whole directory cannot be linked"),
        ("data/rwa", 'no file or directory "data/rwa" beside this file'),
        ("out", '"out" is linked, and "training" writes to "out/of/it"'),
        ("out/of/it/deep", '"out/of/it/deep" is linked, and "training" writes to "out/of/it"'),
        ("out/of/it", '"out/of/it" is linked, and "training" writes to "out/of/it"'),
    ],
)
def test_a_link_that_cannot_be(tmp_path: Path, link: str, fault: str) -> None:
    (tmp_path / "out/of/it/deep").mkdir(parents=True)
    (tmp_path / "data/raw").mkdir(parents=True)
    text = f'{LEAST}output = "out/of/it"\n[source]\nlink = ["data/raw", "{link}"]\n'
    (found,) = faults(tmp_path, text)
    assert fault in found
    assert found.startswith("foretell.toml:6:")


def test_a_link_beside_an_output_is_fine(tmp_path: Path) -> None:
    for name in ("output-old", "data/raw"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "foretell.toml").write_text(f'{LEAST}[source]\nlink = ["output-old", "data/raw/"]\n')
    assert load(tmp_path, environ={}).source.link == ("output-old", "data/raw")
