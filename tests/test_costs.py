"""The tables of ``benchmarks/cost.py`` are printed, of what is there, and their figures are what they say."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(1, str(Path(__file__).parents[1] / "benchmarks"))

from costs import asking, asynchronous, growth, imports, instructions, memory, routing, throughput
from costs.databases import sqlite
from costs.options import Options, parsed
from costs.peers import Peer
from costs.printing import print_tables
from costs.redis_store import on_redis
from costs.report import Row, Table, Unavailable
from costs.rounds import Figures, interleaved
from costs.subjects import CONSTANT, OTHER, OURS, PLAIN, PREDECESSOR, Subject
from costs.workers import WorkerFailed, started, surroundings
from servers.redis import RedisServer

from tests.servers import started as started_servers

COMMAND = Path(__file__).parents[1] / "benchmarks" / "cost.py"

SHORT = Options(rounds=1, slice_seconds=0.0002, processes=1, pins=1000, requests=2000, calls=10)

WITHOUT_PEERS = (OURS, CONSTANT, PLAIN)


def cells(table: Table) -> list[dict[str, str]]:
    """The rows of ``table`` as it is printed, each by column."""
    lines = [line for line in str(table).splitlines() if line.startswith("|")]
    names, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert all(len(row) == len(names) for row in rows)
    return [dict(zip(names, row, strict=True)) for row in rows]


def microseconds(cell: str) -> float:
    [number] = re.fullmatch(r"(-?[\d.]+) us", cell).groups()
    return float(number)


def test_a_measure_that_is_disturbed_in_one_round_changes_neither_median_nor_ratio() -> None:
    figures = Figures([{"ours": 2, "theirs": 1}, {"ours": 200, "theirs": 1}, {"ours": 4, "theirs": 2}])
    assert figures.median("ours") == 4
    assert figures.ratio("ours", to="theirs") == 2
    assert figures.difference("ours", to="theirs") == 2


def test_half_of_the_rounds_have_a_ratio_between_the_quartiles() -> None:
    figures = Figures([{"async": each, "sync": 2} for each in (2, 4, 6, 8, 100)])
    assert figures.middle_ratios("async", to="sync") == (2, 4)
    assert Figures([{"async": 3, "sync": 2}]).middle_ratios("async", to="sync") == (1.5, 1.5)


def test_rounds_are_interleaved_and_no_measure_is_always_the_first() -> None:
    order = []
    interleaved({name: lambda name=name: order.append(name) or 1.0 for name in "abc"}, 3)
    assert order[3:] == list("abc" + "bca" + "cab")


def test_a_table_says_whether_a_target_is_reached_and_nothing_where_there_is_none() -> None:
    rows = [Row("one", ["1 us"], "1.00", "at most 1", True), Row("two", ["2 us"], "2.00", "at most 1", False)]
    printed = cells(Table("Title", ["ours"], [*rows, Row("three", ["3 us"])]))
    assert [row["reached"] for row in printed] == ["yes", "no", ""]


def test_routing_is_measured_of_all_subjects_that_are_there() -> None:
    [table] = routing.tables(SHORT, WITHOUT_PEERS)
    rows = cells(table)
    assert len(rows) == len(routing.MEASURES) + 1
    assert all(microseconds(row[subject.name]) > 0 for row in rows for subject in WITHOUT_PEERS)
    # Without that to which it is a ratio.
    assert {(row["ratio"], row["reached"]) for row in rows} == {("", "")}


@pytest.fixture
def one_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of routing has one row."""
    monkeypatch.setattr(routing, "MEASURES", routing.MEASURES[:1])


@pytest.mark.parametrize("subject", [PREDECESSOR, OTHER], ids=lambda subject: subject.name)
def test_a_peer_is_measured_where_it_is_installed(subject: Subject) -> None:
    if not subject.peer.is_installed:
        pytest.skip(f"{subject.name} is not installed: benchmarks/cost.py does that")
    [table] = routing.tables(SHORT, [OURS, subject])
    assert all(microseconds(row[subject.name]) > 0 for row in cells(table)) or "it does not work" in table.notes[1]


def test_a_peer_that_is_not_installed_is_left_out_and_said_so(one_measure: None, tmp_path: Path) -> None:
    absent = Subject("absent", peer=Peer((str(tmp_path / "absent"),)))
    [table] = routing.tables(SHORT, [PLAIN, absent])
    assert list(table.columns) == [PLAIN.name]
    assert table.notes[1:] == ["absent is left out: it is not installed."]


@pytest.mark.parametrize(("subject", "version"), [(OURS, [1, 0, 0]), (PREDECESSOR, [0, 11, 0])])
def test_each_site_imports_its_own_multidb(subject: Subject, version: list[int]) -> None:
    if subject.peer and not subject.peer.is_installed:
        pytest.skip(f"{subject.name} is not installed: benchmarks/cost.py does that")
    command = [sys.executable, "-c", "import multidb; print(list(multidb.VERSION))"]
    environment = surroundings(subject, subject.settings({}))
    root = Path(__file__).parents[1]
    assert subprocess.check_output(command, env=environment, cwd=root, text=True).strip() == str(version)


def test_a_site_that_cannot_serve_is_left_out_and_said_why(one_measure: None) -> None:
    broken = Subject("broken", "costs.routers.NoSuchRouter")
    [table] = routing.tables(SHORT, [PLAIN, broken])
    assert list(table.columns) == [PLAIN.name]
    assert re.match(r"broken is left out: it does not work with this Django \(ImportError: .*\)", table.notes[1])


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    yield from started_servers(request, RedisServer)


@pytest.mark.parametrize("store", ["cookie", "Redis"])
def test_a_site_pins_the_clients_that_are_measured_as_pinned_and_no_others(store: str, redis: RedisServer) -> None:
    with sqlite() as databases, ExitStack() as stack:
        settings = OURS.settings(databases) if store == "cookie" else on_redis(databases, redis)
        worker = started(stack, OURS, settings)
        if store == "Redis":
            worker.ask("costs.stored.declare_new")
        worker.ask("costs.tasks.measure", task="routing of a writing request", seconds=0)
        reads = [worker.ask("costs.tasks.database_of_a_read", kind=kind) for kind in ("pinned", "reading")]
        assert [alias == "default" for alias in reads] == [True, False]


def test_growth_is_measured_with_replicas_and_with_primaries() -> None:
    [table] = growth.tables(SHORT)
    assert len(cells(table)) == 2 * len(growth.TASKS)
    assert all(microseconds(row[column]) > 0 for row in cells(table) for column in growth.COLUMNS)


def test_async_requests_are_measured_beside_sync_ones(redis: RedisServer) -> None:
    """The table starts its own Redis: the fixture is there to skip the test where there is none."""
    [table] = asynchronous.tables(SHORT)
    assert len(cells(table)) == 2 * len(asynchronous.KINDS)
    assert all(row[column].endswith(" us") for row in cells(table) for column in ("sync", "async"))
    assert all(re.fullmatch(r"-?[\d.]+", row["ratio"]) for row in cells(table))


def test_questions_are_counted(redis: RedisServer) -> None:
    """As tests/test_work.py and tests/test_request_routing.py have them."""
    [table] = asking.tables(SHORT)
    counts = {row["what"]: int(row["multidb"]) for row in cells(table)}
    assert counts == {
        **{f"round trips, cookie store: {what}": 0 for what in asking.CALLED.values()},
        **{f"round trips, Redis store: {what}": int("nothing" not in what) for what in asking.CALLED.values()},
        'queries more, `"replayed"`: writing request': 1,
        'queries more, `"replayed"`: pinned reading request, the first': 1,
        'queries more, `"replayed"`: pinned reading request, the second': 1,
        'queries more, `"replayed"`: pinned reading request, the third': 0,
        'queries more, `"replayed"`: reading request': 0,
    }
    assert {row["reached"] for row in cells(table)} == {"yes"}


def test_imports_are_measured() -> None:
    [table] = imports.tables(SHORT, [OURS])
    assert all(re.fullmatch(r"\d+\.\d\d ms", row[OURS.name]) for row in cells(table))
    assert len(cells(table)) == len(imports.IMPORTS)


def test_the_memory_of_pins_is_that_of_as_many_as_there_are(redis: RedisServer) -> None:
    in_redis, of_worker = map(cells, memory.tables(SHORT))
    assert [50 < int(row["bytes a pin"]) < 500 for row in in_redis] == [True] * len(memory.PINS)
    assert all("1,000 pins" in row for row in in_redis)
    of = {row["what"]: int(row["bytes a pin"]) for row in in_redis}
    assert of["filed under a user, and a header or session"] > 1.5 * of["filed under a user"]
    assert [row["what"] for row in of_worker] == ["worker, cookie store", "worker, Redis store"]
    assert all({"1,000 requests", "2,000 requests"} < row.keys() for row in of_worker)


def test_instructions_are_the_difference_of_two_runs_by_their_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)

    def counted(task: str, calls: int, made: int, subject: Subject, site: Mapping[str, Any]) -> int:
        return 1_000_000 + made * 50 + calls * (2500 if subject is OURS else 1250)

    monkeypatch.setattr(instructions, "_counted", counted)
    [table] = instructions.tables(SHORT)
    assert {row[OURS.name] for row in cells(table)} == {"2,500"}
    assert {row["ratio"] for row in cells(table)} == {"2.00" if PREDECESSOR.peer.is_installed else ""}


def test_a_report_of_callgrind_tells_the_instructions() -> None:
    assert instructions.total("events: Ir\n1 2\nsummary: 123456\n\ntotals: 123456\n") == 123456


def test_what_callgrind_counts_runs() -> None:
    with sqlite() as databases:
        site = surroundings(OURS, OURS.settings(databases))
        subprocess.run(
            [sys.executable, "-m", "costs.counting", "routing of a pinned request", "2", "4"], env=site, check=True
        )


@pytest.mark.parametrize(("table", "program"), [(instructions, "valgrind"), (throughput, "wrk")])
def test_a_table_whose_program_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, table: Any, program: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unavailable, match=f"apt install {program}"):
        table.tables(SHORT)


def test_a_table_whose_program_fails_says_so_and_the_others_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tables(options: Any) -> list[Table]:
        subprocess.run(["false"], check=True)
        return []

    monkeypatch.setattr(throughput, "tables", tables)
    monkeypatch.setattr(instructions, "tables", lambda options: [Table("Instructions", [], [])])
    assert print_tables(["throughput", "instructions"], SHORT) == 1
    printed = capsys.readouterr().out
    assert "The table throughput cannot be had: Command '['false']' returned non-zero exit status 1." in printed
    assert "## Instructions" in printed


def test_how_much_more_a_request_takes_is_said_where_that_has_a_target() -> None:
    measures = {measure.task: measure for measure in routing.MEASURES}
    figures = Figures([{OURS.name: 50e-6, PREDECESSOR.name: 20e-6}])
    compared = [routing._compared(measures[f"{task} request"], figures) for task in ("reading", "writing")]
    assert compared == ["2.50", "2.50, 30.0 us more"]


def test_a_report_of_wrk_tells_the_requests_a_second_and_whether_some_have_failed() -> None:
    report = "  80 requests in 2.00s, 1.00MB read\n{}Requests/sec:     39.95\nTransfer/sec:    512.00KB\n"
    assert throughput.requests_a_second(report.format("")) == 39.95
    with pytest.raises(Unavailable, match="Non-2xx or 3xx responses: 8"):
        throughput.requests_a_second(report.format("  Non-2xx or 3xx responses: 8\n"))


def test_a_worker_that_ends_says_so() -> None:
    with ExitStack() as stack:
        worker = started(stack, PLAIN, PLAIN.settings({}))
        with pytest.raises(WorkerFailed, match=f"The process of {PLAIN.name} has ended"):
            worker.ask("os._exit", status=3)


def test_the_command_lists_its_tables_and_knows_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    listed = subprocess.check_output([sys.executable, COMMAND, "--list"], text=True).split()
    assert listed == ["routing", "growth", "asynchronous", "asking", "throughput", "memory", "imports", "instructions"]
    assert parsed("", listed, ["growth", "--rounds", "3"]).rounds == 3
    with pytest.raises(SystemExit):
        parsed("", listed, ["others"])
    assert "no table is called 'others'" in capsys.readouterr().err
