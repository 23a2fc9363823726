"""A pin is a value: merged, encoded, and held until its time."""

import itertools

import pytest

from multidb.pins import DEPLOYED_SECONDS, Hold, Pin, PinStoreUnavailable
from tests.conftest import lines

NOW = 1_700_000_000.0


def test_its_text_is_short_json() -> None:
    assert Pin.on(["default"], NOW).encode() == '{"default":[1700000000000]}'


@pytest.mark.parametrize(
    "pin",
    [
        Pin.on(["default"], NOW),
        Pin.on(["default", "users"], NOW + 0.5),
        Pin({"default": Hold(1, {"lsn": "00000000016B3748"}), "users": Hold(2)}),
    ],
)
def test_it_is_read_back_as_it_was_written(pin: Pin) -> None:
    assert Pin.decode(pin.encode()) == pin
    assert Pin.decode(pin.encode().encode()) == pin


@pytest.mark.parametrize(
    "text",
    [
        *["", "y", "{", "[]", "1", "null", '"x"', '{"default":1}', '{"default":[]}', '{"default":["1"]}'],
        *['{"default":[1.5]}', '{"default":[true]}', '{"default":[1,{},3]}', '{"default":{}}'],
        *["[" * 100_000, '{"default":[' + "9" * 5000 + "]}", b"\xff"],
    ],
    ids=lambda text: repr(text[:20]).replace("\\", ""),
)
def test_what_is_no_pin_is_none_and_no_error(text: str | bytes) -> None:
    assert Pin.decode(text) is None


def test_it_is_on_primaries_or_on_positions_of_them() -> None:
    position = {"lsn": "00000000016B3748"}
    pin = Pin.on({"default": position, "users": None}, 1)
    assert pin.holds == {"default": Hold(1000, position), "users": Hold(1000)}


def test_a_time_is_rounded_up() -> None:
    assert Pin.on(["default"], 1.0001).holds["default"].until == 1001


def test_merging_takes_the_later_time_of_each_primary() -> None:
    first = Pin({"default": Hold(1), "users": Hold(5)})
    second = Pin({"default": Hold(3), "logs": Hold(2)})
    assert first.merge(second).holds == {"default": Hold(3), "users": Hold(5), "logs": Hold(2)}
    assert first.merge(None) is first


def test_merging_takes_the_further_position_of_each_stream() -> None:
    first = Hold(1, {"0": "01", "1": "09"})
    second = Hold(2, {"0": "02", "2": "05"})
    assert first.merge(second) == Hold(2, {"0": "02", "1": "09", "2": "05"})


def test_a_position_that_is_not_known_stays_unknown() -> None:
    assert Hold(1, {"lsn": "01"}).merge(Hold(2)) == Hold(2)


def test_the_order_of_merging_does_not_matter() -> None:
    pins = [Pin({"default": Hold(until, position)}) for until in (1, 2) for position in (None, {"a": "1"}, {"b": "2"})]
    for first, second in itertools.product(pins, repeat=2):
        assert first.merge(second) == second.merge(first)


def test_it_holds_until_its_time() -> None:
    pin = Pin({"default": Hold(int(NOW * 1000) + 1000), "users": Hold(int(NOW * 1000) + 2000)})
    assert pin.held(NOW, 15) == pin
    assert pin.held(NOW + 1, 15).holds.keys() == {"users"}
    assert pin.held(NOW + 2, 15) is None


def test_it_is_never_longer_than_the_seconds_as_far_as_the_clock_tells() -> None:
    ahead = Pin.on(["default"], NOW + 15 + DEPLOYED_SECONDS)
    assert ahead.held(NOW, 15) == Pin.on(["default"], NOW + 15)
    assert Pin.on(["default"], NOW + 16 + DEPLOYED_SECONDS).held(NOW, 15) is None
    with_position = {"default": {"lsn": "F" * 16}}
    assert Pin.on(with_position, NOW + 60).held(NOW, 15) == Pin.on(with_position, NOW + 15)


def test_the_seconds_left_are_those_of_the_longest_hold() -> None:
    pin = Pin({"default": Hold(int(NOW * 1000) + 1000), "users": Hold(int(NOW * 1000) + 2500)})
    assert pin.seconds_left(NOW) == 2.5
    assert pin.seconds_left(NOW + 10) == 0
    assert Pin({}).seconds_left(0) == 0


@pytest.mark.parametrize(
    "position", ["2", '"x"', "{}", '{"lsn":5}', '{"lsn":"0"}', '{"lsn":"zzz"}', '{"":"0000000000000001"}']
)
def test_a_position_that_is_none_leaves_the_hold_and_those_on_other_primaries_to_their_time(
    position: str, caplog: pytest.LogCaptureFixture
) -> None:
    pin = Pin.decode(f'{{"default":[1,{position}],"users":[2,{{"lsn":"0000000000000001"}}]}}')
    assert pin == Pin({"default": Hold(1), "users": Hold(2, {"lsn": "0000000000000001"})})
    assert lines(caplog) == ["A pin has a position that is none: it holds for its seconds."]


def test_a_store_that_cannot_tell_says_so_and_what_is_known() -> None:
    unavailable = PinStoreUnavailable(Pin({}))
    assert str(unavailable) == "The pin store cannot tell."
    assert unavailable.pin == Pin({})


def test_one_without_a_position_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    assert Pin.decode('{"default":[1]}') == Pin({"default": Hold(1)})
    assert lines(caplog) == []
