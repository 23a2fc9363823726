"""What a store may know of a session without loading it."""

from django.contrib.sessions.backends.signed_cookies import SessionStore

from multidb.backends.client_session import is_loaded


def test_a_session_is_loaded_by_whoever_reads_it_first() -> None:
    session = SessionStore("x" * 32)
    assert not is_loaded(session)
    session.get("anything")
    assert is_loaded(session)
