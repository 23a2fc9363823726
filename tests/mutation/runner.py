"""A pytest plugin that runs mutants in place of the tests: each in a fork of a process that has collected the tests."""

import importlib
import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest
from django.conf import settings

from tests.mutation.mutants import Mutant

# Tests that start many servers, or wait for one that hangs: on a busy machine one may fail without a mutant.
SLOW = ("redis sentinel", "redis cluster", "test_redis_client.py", "test_redis_faults.py", "test_hostile")

# What a test may take beside ten times what it has taken without a mutant; and all of them, if they do not end so.
SECONDS = 5
MOST_SECONDS = 120


class Fork(NamedTuple):
    """A process that runs tests. What they leave, and what it has found, is in ``directory``."""

    mutant: Mutant
    tests: list[pytest.Item]
    directory: Path
    ends: float


class Runner:
    """Runs all tests, which have to pass, to see which lines each of them reaches; then, for each mutant, those that
    reach the line which is changed, until one fails: first those that have killed most of the others, then those of the
    module itself, then those of the files of which most reach it, and last the slow ones, of which one has to fail
    twice. A mutant that reaches many meets as many as have taken ``seconds`` together, and one at least.

    ``tell(mutant, killer)`` is told the name of that one, or ``""`` if the mutant has survived. What the first run has
    shown is kept in the file ``survey``, and is taken from there if that exists.
    """

    def __init__(
        self,
        mutants: Iterable[Mutant],
        processes: int,
        seconds: float,
        survey: Path | None,
        tell: Callable[[Mutant, str], None],
    ) -> None:
        self._mutants = mutants
        self._processes = processes
        self._most_seconds = seconds
        self._survey_file = survey
        self._tell = tell
        self._forks: dict[int, Fork] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: list[str] = []
        self._reached: dict[str, dict[str, list[str]]] = {}
        self._kills: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._survey(session.items)
        for mutant in self._mutants:
            importlib.import_module(mutant.module)  # Stores are imported only where a setting names them.
            tests = self._reaching(mutant, session.items)
            if tests:
                self._start(mutant, tests)
            else:
                self._tell(mutant, "")
        while self._forks:
            self._wait()
        return True

    def _survey(self, tests: list[pytest.Item]) -> None:
        kept = self._survey_file
        if kept is not None and kept.exists():
            found = json.loads(kept.read_text())
        else:
            pid, directory = _fork(lambda: self._traced(tests))
            os.waitpid(pid, 0)
            found = _found(directory) or {"failed": ["one, whose process has ended"]}
            if found["failed"]:
                pytest.exit(f"Tests fail that have to pass: {found['failed']}", returncode=2)
            if kept is not None:
                kept.write_text(json.dumps(found))
        self._seconds |= found["seconds"]
        self._reached = found["reached"]

    def _traced(self, tests: list[pytest.Item]) -> dict[str, Any]:
        traced = coverage.Coverage(data_file=None, config_file=False, include=["multidb/*"], messages=False)
        traced.start()
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            traced.switch_context(test.nodeid)
            test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
        traced.stop()
        lines = traced.get_data()
        reached = {os.path.relpath(path): lines.contexts_by_lineno(path) for path in lines.measured_files()}
        return {"failed": self._failed, "seconds": self._seconds, "reached": reached}

    def _start(self, mutant: Mutant, tests: list[pytest.Item]) -> None:
        """Run ``tests`` with ``mutant``, as soon as one of the processes is free."""
        while len(self._forks) >= self._processes:
            self._wait()
        pid, directory = _fork(lambda: self._killer(mutant, tests))
        most = MOST_SECONDS + 3 * sum(self._seconds[test.nodeid] for test in tests)
        self._forks[pid] = Fork(mutant, tests, directory, time.monotonic() + most)

    def _wait(self) -> None:
        """Wait for one of the processes to end, and see to what it has found."""
        time.sleep(0.005)
        for pid, fork in list(self._forks.items()):
            if time.monotonic() > fork.ends:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._forks[pid]
            killer = _found(fork.directory)
            if killer is None and os.WIFEXITED(status):
                pytest.exit(f"This mutant cannot be run: {fork.mutant}", returncode=2)
            if killer is None:
                killer = "a test that did not end"
            killers = [test for test in fork.tests if test.nodeid == killer]
            if len(fork.tests) > 1 and any(map(_is_slow, killers)):
                self._start(fork.mutant, killers)
            else:
                self._kills[killer] += 1
                self._tell(fork.mutant, killer)

    def _killer(self, mutant: Mutant, tests: list[pytest.Item]) -> str:
        try:
            mutant.take_effect()
        except Exception as error:
            if traceback.extract_tb(error.__traceback__)[-1].filename != str(mutant.path):
                raise  # Not of the mutant, which fails where its module calls it.
            return "the import of its module"
        signal.signal(signal.SIGALRM, _too_long)
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_REAL, SECONDS + 10 * self._seconds[test.nodeid], 1)
            try:
                test.ihook.pytest_runtest_protocol(item=test, nextitem=following)
            except pytest.fail.Exception:  # Of the timer, between the steps of a test.
                return test.nodeid
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self._failed:
                with suppress(Exception):  # The mutant may fail what ends here too.
                    test.session._setupstate.teardown_exact(None)
                return self._failed[0]
        return ""

    def _reaching(self, mutant: Mutant, tests: list[pytest.Item]) -> list[pytest.Item]:
        """Those of ``tests`` that reach the changed line: the likeliest to fail first, and of these the quickest."""
        reached = self._reached.get(str(mutant.path), {})
        names = {name for line in mutant.lines for name in reached.get(str(line), ())}
        mirror = str(Path("tests", *mutant.path.parts[1:-1], f"test_{mutant.path.stem}."))
        chosen = [test for test in tests if test.nodeid in names]
        all_, reaching = Counter(map(_file, tests)), Counter(map(_file, chosen))

        def cost(test: pytest.Item) -> tuple[bool, int, bool, float, float]:
            share, kills = reaching[_file(test)] / all_[_file(test)], self._kills[test.nodeid]
            return _is_slow(test), -kills, not test.nodeid.startswith(mirror), -share, self._seconds[test.nodeid]

        ordered = sorted(chosen, key=cost)
        until = accumulate(self._seconds[test.nodeid] for test in ordered)
        return [test for test, end in zip(ordered, until, strict=True) if end <= self._most_seconds] or ordered[:1]


def _file(test: pytest.Item) -> str:
    return test.nodeid.partition("::")[0]


def _is_slow(test: pytest.Item) -> bool:
    return any(name in test.nodeid for name in SLOW)


def _fork(find: Callable[[], Any]) -> tuple[int, Path]:
    """Fork a process that leaves what ``find`` returns in a directory. Return its number, and that directory."""
    directory = Path(tempfile.mkdtemp(prefix="multidb-mutation-"))
    directory.chmod(0o711)  # Servers that tests start may be another user's.
    pid = os.fork()
    if pid:
        return pid, directory
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        tempfile.tempdir = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(directory)
        settings.DATABASES["default"]["TEST"]["NAME"] = str(directory / "primary.sqlite3")
        (directory / "found.json").write_text(json.dumps(find()))
    finally:
        os._exit(0)


def _found(directory: Path) -> Any:
    """What the process has found that was forked with ``directory``; ``None`` if it did not get to its end."""
    found = directory / "found.json"
    answer = json.loads(found.read_text()) if found.exists() else None
    shutil.rmtree(directory, ignore_errors=True)
    return answer


def _too_long(*_: object) -> None:
    pytest.fail("It takes too long.")
