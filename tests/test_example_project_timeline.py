"""The time line of the example project: what it makes of writes, reads and lags, and what the page shows of it."""

import re

import pytest
from board import timeline as timeline_module
from board.drawing import Happening, drawing, happenings, summary
from board.timeline import WINDOW_SECONDS, Lack, Read, Seen, Timeline, Write

from tests.boards import run, served, until


@pytest.fixture
def timeline():
    """One of a primary and two replicas, on which post 1 was written at 100, and came to ``near`` at 102."""
    timeline = Timeline(["near", "far"])
    timeline.note_write(1, 100)
    timeline.note_newest("near", 1, 102)
    return timeline


@pytest.mark.parametrize(
    ("alias", "reason", "newest", "at", "kind"),
    [
        pytest.param("near", "replica", 0, 99, "current", id="before the write"),
        pytest.param("far", "replica", 0, 101, "stale", id="a replica without the post"),
        pytest.param("far", "replica", 1, 101, "current", id="a replica that has it, though nobody had noticed"),
        pytest.param("default", "pinned", 1, 103, "avoidable", id="the primary, when a replica has it"),
        pytest.param("default", "store down", 1, 103, "avoidable", id="the primary, in doubt"),
        pytest.param("default", "no replica", 1, 101, "unpinned", id="the primary, as no replica is up"),
        pytest.param("default", "no replica", 1, 103, "unpinned", id="as none is up, though one has it"),
    ],
)
def test_a_read_is_judged_by_what_it_found_and_why_it_went_there(timeline, alias, reason, newest, at, kind):
    """A read of a replica lacked a post or did not; one for a pin could have been a replica's or not."""
    timeline.note_read(alias, reason, newest, at)
    assert timeline.seen(at).reads == [Read(at, alias, reason, kind)]


def test_a_read_of_the_primary_is_needed_while_every_replica_lacks_a_post(timeline):
    """Until one has caught up."""
    timeline.note_write(2, 103)
    timeline.note_read("default", "pinned", 2, 104)
    timeline.note_newest("far", 2, 105)
    timeline.note_read("default", "pinned", 2, 106)
    assert [read.kind for read in timeline.seen(107).reads] == ["needed", "avoidable"]


@pytest.mark.parametrize(
    ("down", "kind"), [(["far"], "avoidable"), (["near"], "needed"), (["near", "far"], "unpinned")], ids=str
)
def test_a_replica_that_is_down_could_not_have_answered(timeline, down, kind):
    """Though it may have every post."""
    timeline.note_read("default", "pinned", 1, 103, down)
    assert [read.kind for read in timeline.seen(104).reads] == [kind]


def test_a_replica_lacks_a_post_until_it_is_seen_there(timeline):
    """What came first is what counts, and a later post brings those before it."""
    timeline.note_write(2, 103)
    timeline.note_newest("near", 1, 104)
    assert timeline.late() == ["near", "far"]
    timeline.note_newest("far", 2, 105)
    assert timeline.late() == ["near"]
    assert timeline.seen(106).lacks == [
        Lack("near", 1, 100, 102),
        Lack("near", 2, 103, None),
        Lack("far", 1, 100, 105),
        Lack("far", 2, 103, 105),
    ]


def test_what_a_replica_has_got_it_keeps(timeline):
    """An answer that was overtaken by a later one takes nothing away."""
    timeline.note_write(2, 103)
    timeline.note_newest("near", 2, 105)
    timeline.note_newest("near", 1, 104)
    assert timeline.late() == ["far"]


def test_a_read_sees_that_a_replica_has_caught_up(timeline):
    """Before the thread that watches has asked."""
    timeline.note_read("far", "replica", 1, 103)
    assert timeline.late() == []


def test_the_window_ends_now_and_what_is_older_is_left_out(timeline):
    """But for a post that a replica still lacks, however long ago it was written."""
    timeline.note_read("near", "replica", 1, 102)
    end = 102 + WINDOW_SECONDS
    assert timeline.seen(end).reads == [Read(102, "near", "replica", "current")]
    seen = timeline.seen(end + 1)
    assert (seen.writes, seen.reads, seen.lacks) == ([], [], [Lack("far", 1, 100, None)])


def test_events_are_bounded(timeline, monkeypatch):
    """However much is written, the time line stays small."""
    monkeypatch.setattr(timeline_module, "MOST_EVENTS", 3)
    timeline = Timeline(["near"])
    for number in range(10):
        timeline.note_write(number, number)
        timeline.note_newest("near", number, number)
        timeline.note_read("near", "replica", number, number)
    seen = timeline.seen(10)
    assert seen.writes == [Write(7, 7), Write(8, 8), Write(9, 9)]
    assert (len(seen.reads), len(seen.lacks)) == (3, 3)


def test_the_summary_counts_what_pinning_costs_and_saves(timeline):
    """The sentence beneath the picture."""
    for alias, reason, newest, at in (
        ("far", "replica", 0, 101),
        ("far", "replica", 1, 103),
        ("default", "pinned", 1, 104),
        ("default", "no replica", 1, 104),
    ):
        timeline.note_read(alias, reason, newest, at)
    assert summary(timeline.seen(105)) == (
        "In the last 30 seconds: 1 post and 4 reads. Of 2 reads from the primary, 1 could have been a replica's. "
        "Of 2 reads from replicas, 1 lacked a post."
    )


def test_the_words_say_what_the_picture_shows(timeline):
    """Each thing that happened, the last one first."""
    timeline.note_read("far", "replica", 0, 101)
    assert happenings(timeline.seen(105)) == [
        Happening(3, "near", "post #1", "came 2.0 s late"),
        Happening(4, "far", "read, for the reason “replica”", "it lacked a post"),
        Happening(5, "default", "post #1", "written"),
    ]


def test_a_post_has_its_number_where_there_is_room_for_it(monkeypatch):
    """That of the next one is as near as the number is wide: all are in the table."""
    monkeypatch.setattr("board.drawing.render_to_string", lambda template, shown: shown)
    seen = Seen(100.0, [Write(at, number) for number, at in enumerate((80.0, 90.0, 91.0, 92.5, 99.0))], [], [])
    assert [write.text for write in drawing(seen)["writes"]] == ["#0", "#1", "", "#3", "#4"]


@pytest.fixture
def board(tmp_path):
    """A new board, served: nobody has read anything on it."""
    assert run(tmp_path, "setup_board").returncode == 0
    with served(tmp_path) as board:
        yield board


def kinds(text):
    """The kinds of the reads that are drawn, in their order."""
    drawn = text[text.index('<svg class="timeline"') : text.index('id="timeline-summary"')]
    return re.findall(r'<svg class="read (\w+)"', drawn)


def test_the_page_draws_what_pinning_saves_and_costs(board):
    """Off: a read lacks the post. Cookie: the primary is read, which is needed until a replica has the post."""
    board.settle("off", lag=10)
    visitor = board.visitor()
    page = visitor.post("/posts", text="Missed")
    assert kinds(page.text)[-1] == "stale"
    assert f"replica-1 lacks post #{number_of(page)}" in page.text

    visitor.post("/store", store="cookie")
    page = visitor.post("/posts", text="Pinned")
    assert kinds(page.text)[-1] == "needed"
    board.settle("cookie", lag=0)
    number = number_of(visitor.post("/posts", text="Pinned again, for the time that it took to set the lags"))
    until(lambda: f"replica-1 lacked post #{number}" in visitor.get("/status").json["timeline"]["drawing"])
    assert kinds(visitor.get().text)[-1] == "avoidable"


def test_a_read_that_no_replica_could_answer_is_no_cost_of_pinning(board):
    """Every replica is broken, whether or not somebody is pinned."""
    board.settle("cookie", lag=0)
    visitor = board.visitor()
    for replica in ("replica-1", "replica-2"):
        visitor.post("/break", replica=replica)
    for page in (visitor.get(), visitor.post("/posts", text="Pinned")):
        assert kinds(page.text)[-1] == "unpinned"
        assert "from the primary, 0 could have been a replica" in page.text


def number_of(page):
    """The number of the post that the page tells its author about."""
    return re.search(r'data-posted="(\d+)"', page.text)[1]


def test_the_api_is_drawn_too(board):
    """What programs write and read is on the time line, and in its words."""
    board.settle("redis", lag=10)
    number = board.api("POST", body=b'{"text": "Posted by a program"}').json["post"]["id"]
    board.api()
    rows = board.visitor().get("/status").json["timeline"]["rows"].split("<tr>")[1:]
    read, write = (re.sub(r"<.*?>|\s+", " ", row).split() for row in rows[:2])
    assert " ".join(read[3:]) == "default read, for the reason “pinned” every replica that was up lacked a post"
    assert " ".join(write[3:]) == f"default post #{number} written"
