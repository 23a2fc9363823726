"""What the board says of a post that was just made: seen, missed, or why it is not among those listed."""

import pytest
from board.notices import notice_for
from board.pin_status import PinStatus

from multidb.routing import Route


@pytest.mark.parametrize(
    ("is_on_primary", "posted", "listed", "behind", "text"),
    [
        pytest.param(True, 3, [5, 4], 2.0, "It is older than they are.", id="older than the oldest"),
        pytest.param(False, 3, [5, 4], 2.0, "No such post was found on the primary.", id="not on the primary"),
        pytest.param(None, 3, [5, 4], 2.0, "The primary did not answer when it was asked for it.", id="nobody knows"),
        pytest.param(
            True,
            6,
            [5, 4],
            0.0,
            "It was on the primary, but not on replica-1 when that answered this page.",
            id="newer, though the replica lacked nothing",
        ),
    ],
)
def test_a_post_that_is_not_listed_is_said_to_be_what_it_is(is_on_primary, posted, listed, behind, text):
    notice = a_notice(is_on_primary, posted, listed, behind)
    assert (notice.kind, notice.title, notice.text) == ("unknown", f"Post #{posted} is not among these.", text)


@pytest.mark.parametrize(
    ("posted", "listed"),
    [
        pytest.param(6, [5, 4], id="newer than all"),
        pytest.param(5, [6, 4], id="between two, committed after the newer"),
        pytest.param(1, [], id="when there is none"),
    ],
)
def test_a_post_that_a_late_replica_lacks_is_missed(posted, listed):
    notice = a_notice(True, posted, listed, 2.0)
    assert notice.kind == "missed"
    assert f"Your post #{posted} is on the primary, but replica-1, which answered this page, was 2.0" in notice.text


def a_notice(is_on_primary, posted, listed, behind):
    """That of a page which came from ``replica-1``."""
    route = Route("replica-1", "replica", None, "default", False)
    return notice_for(posted, is_on_primary, listed, route, {"replica-1": behind}, PinStatus(), "off")
