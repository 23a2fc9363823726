"""In a real browser: the time line shows reads, writes, and when each replica caught up, and goes on by itself."""

from typing import Any

from tests.boards import Board
from tests.integration.browser.visitors import DRAWN, REPLICAS, choose_store, expect, post

ALL_ARRIVED = """() => {
  const bands = [...document.querySelectorAll("svg.timeline .lack title")];
  return bands.length && bands.every((title) => title.textContent.includes(" lacked "));
}"""


def test_a_missed_post_is_seen_on_the_line_of_the_replica(board: Board, page: Any) -> None:
    """Off: the last read is marked, on a replica's line, within the time that it lacks the post, after the write."""
    board.settle("off", lag=10)
    post(page, "Missed on the time line")
    drawn = page.evaluate(DRAWN)
    read, write = drawn["reads"][-1], drawn["writes"][-1]
    assert read["kind"] == "stale"
    assert read["line"] in REPLICAS
    assert write["left"] < read["right"]
    lacks = [lack for lack in drawn["lacks"] if lack["line"] == read["line"]]
    assert lacks[-1]["left"] <= read["right"]
    assert read["left"] <= lacks[-1]["right"]


def test_pinning_saves_until_a_replica_has_caught_up_and_costs_from_then_on(board: Board, page: Any) -> None:
    """Cookie: reads are on the primary's line, needed at first; later they lie after what shows that the post came."""
    board.settle("off", lag=10)
    choose_store(page, "Cookie")
    post(page, "Pinned on the time line")
    read = page.evaluate(DRAWN)["reads"][-1]
    assert (read["line"], read["kind"]) == ("default", "needed")

    board.settle("cookie", lag=0)
    post(page, "Pinned again, for the time that it took to set the lags")
    page.wait_for_function(ALL_ARRIVED)  # Without being loaded again.
    page.reload()
    drawn = page.evaluate(DRAWN)
    read = drawn["reads"][-1]
    assert (read["line"], read["kind"]) == ("default", "avoidable")
    for replica in REPLICAS:
        arrivals = [arrival for arrival in drawn["arrivals"] if arrival["line"] == replica]
        assert arrivals[-1]["left"] < read["right"]


def test_time_goes_on_while_the_page_is_open(board: Board, page: Any) -> None:
    """What was drawn moves to the left, and its words stay open."""
    board.settle("cookie", lag=0)
    post(page, "Time goes on")
    page.get_by_text("The same in words").click()
    before = page.evaluate(DRAWN)["writes"][-1]["left"]
    page.wait_for_function(f"before => ({DRAWN})().writes.at(-1).left < before - 1", arg=before)
    expect(page.get_by_role("cell", name="written", exact=True).first).to_be_visible()


def test_the_picture_has_a_name_and_is_described_in_words(board: Board, page: Any) -> None:
    """For who cannot see it: what it is, and a sentence that sums it up."""
    picture = page.get_by_role("img", name="Time line of the last 30 seconds")
    expect(picture).to_be_visible()
    description = page.locator(f"#{picture.get_attribute('aria-describedby')}")
    expect(description).to_contain_text("In the last 30 seconds")
