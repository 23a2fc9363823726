"""What a statement writes to, as far as its text tells: what reads never writes, and in doubt it writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections, transaction
from django.db.models import Count, F, Max

from multidb.pinning import use_primary_db
from multidb.statements import LONGEST_REMEMBERED, Write, write_of
from tests.models import Book, PinRow, Post, Shelf

NONE: frozenset[str] = frozenset()
UNKNOWN = Write(None, NONE, False)

READS = [
    "SELECT 1",
    "select 1",
    "SELECT*FROM t",
    "SELECT(1)",
    "SELECT 1;",
    "SELECT 1 ;\n",
    "  \n\tSELECT 1",
    "(SELECT 1) UNION (SELECT 2)",
    "((SELECT 1))",
    "VALUES (1), (2)",
    "TABLE tests_post",
    "WITH one AS (SELECT 1) SELECT * FROM one",
    "WITH RECURSIVE tree AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM tree",
    "EXPLAIN SELECT 1",
    "EXPLAIN QUERY PLAN SELECT 1",
    'SELECT "update", `delete`, "into" FROM "delete" WHERE "update" = 1',
    "SELECT updated, deleted_at, into_the_wild, t.update_count FROM updates",
    "SELECT replace(a, 'x', 'y'), insert(a, 1, 2, 'z') FROM t",
    # Comments before, and what sqlcommenter and its like put after.
    "-- insert into t values (1)\nSELECT 1",
    "# insert into t values (1)\nSELECT 1",
    "/* insert into t; */ SELECT 1",
    "/* a */ -- b\n /* c */ ( /* d */ SELECT 1)",
    "SELECT 1 /*controller='posts',action='update',route='/posts/delete'*/",
    "SELECT 1 /* delete */ ;",
    "/*action='update'*/ SELECT 1 /*action='delete'*/",
    "SELECT/**/1",
    "",
    " \n",
    "-- nothing",
    "-- nothing\n",
    "/* delete */",
    # Locks, and the ends of transactions.
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t for update of t skip locked",
    "SELECT * FROM t FOR\nUPDATE NOWAIT",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "SELECT * FROM t FOR SHARE",
    "SELECT * FROM t LOCK IN SHARE MODE",
    "LOCK TABLE t IN EXCLUSIVE MODE",
    "LOCK TABLES t WRITE",
    "UNLOCK TABLES",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "START TRANSACTION READ WRITE",
    "COMMIT",
    "END",
    "ABORT",
    "ROLLBACK TO SAVEPOINT one",
    'SAVEPOINT "s1_x1"',
    'RELEASE SAVEPOINT "s1_x1"',
    "SET SESSION TRANSACTION READ ONLY",
    # SQLite
    "PRAGMA foreign_keys = ON",
    "PRAGMA table_info('tests_post')",
    # PostgreSQL
    "SET search_path TO tenant",
    "RESET ALL",
    "SHOW server_version",
    "DISCARD ALL",
    "DECLARE cursor_1 NO SCROLL CURSOR FOR SELECT 1",
    "FETCH 10 FROM cursor_1",
    "MOVE 10 FROM cursor_1",
    "CLOSE cursor_1",
    "DEALLOCATE statement_1",
    "LISTEN posts",
    "UNLISTEN *",
    "NOTIFY posts",
    "SELECT set_config('TimeZone', 'UTC', false)",
    # MariaDB
    "USE board",
    "DESC tests_post",
    "DESCRIBE tests_post",
    "SHOW ALL SLAVES STATUS",
    "SET SQL_AUTO_IS_NULL = 0",
]


@pytest.mark.parametrize("sql", READS)
def test_it_reads(sql: str) -> None:
    assert write_of(sql) is None


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("INSERT INTO t (a) VALUES (%s)", "t"),
        ("insert into T values (1)", "T"),
        ("INSERT\n  INTO\n  t(a) SELECT 1", "t"),
        ('INSERT INTO "t" DEFAULT VALUES', "t"),
        ('INSERT INTO "t"("a") VALUES (1)', "t"),
        ("INSERT INTO `t` (`a`) VALUES (1)", "t"),
        ('INSERT INTO "a table" VALUES (1)', "a table"),
        ("INSERT INTO public.t VALUES (1)", "public.t"),
        ('INSERT INTO "public"."t" VALUES (1)', "public.t"),
        ("INSERT INTO `board`.`t` VALUES (1)", "board.t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "t"),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", "t"),
        ("INSERT INTO t WITH one AS (SELECT 1) SELECT * FROM one", "t"),
        ("INSERT OR IGNORE INTO t VALUES (1)", "t"),
        ("INSERT OR REPLACE INTO t VALUES (1)", "t"),
        ("INSERT IGNORE INTO t VALUES (1)", "t"),
        ("REPLACE INTO t VALUES (1)", "t"),
        ("DELETE FROM t", "t"),
        ('delete from "t" where "id" in (select 1)', "t"),
        ("DELETE FROM t;", "t"),
        ("DELETE FROM t ; \n", "t"),
        ("UPDATE t AS other SET a = 1", "t"),
        ("/* from a job */ -- at night\nDELETE FROM t", "t"),
        ("INSERT INTO t (a) VALUES ('public.u')", "t"),
    ],
)
def test_it_writes_to_one_table(sql: str, table: str) -> None:
    assert write_of(sql)[:2] == (table, NONE)


@pytest.mark.parametrize(
    ("sql", "tells"),
    [
        ("UPDATE t SET a = 1", True),
        ("DELETE FROM t", False),
        ("UPDATE t SET a = 1 RETURNING id", False),
        ("INSERT INTO t VALUES (1)", False),
        ("REPLACE INTO t VALUES (1)", False),
        ("INSERT OR IGNORE INTO t VALUES (1)", True),
        ("INSERT IGNORE INTO t VALUES (1)", True),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", True),
    ],
)
def test_a_plain_insert_or_delete_of_no_row_may_have_been_led_elsewhere_by_a_trigger(sql: str, tells: bool) -> None:
    assert write_of(sql).tells_rows is tells


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'please update me; delete it', \"Last Update\", `delete by` FROM t WHERE a LIKE '%into%'",
        "SELECT a ->> 'delete' FROM t",
        "SELECT 1 /* delete me */ FROM x",
        "SELECT 1 -- x; y\nFROM t",
        "SELECT * FROM t FOR  UPDATE",
        "SELECT * FROM t FOR NO KEY\n  UPDATE",
        "EXPLAIN UPDATES",
    ],
)
def test_what_is_quoted_or_a_comment_is_no_keyword(sql: str) -> None:
    assert write_of(sql) is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'a\\'; DELETE FROM t WHERE a = 'b'",
        "SELECT $$it's$$; DELETE FROM t WHERE a = 'b'",
        "SELECT 1 # it's\n; DELETE FROM t WHERE a = 'b'",
        "SELECT 5--3; DELETE FROM t",
        "WITH x AS (SELECT 1) --\nDELETE FROM t",
        "SELECT 1 --\n; DELETE FROM t",
        "SELECT 1 -- x\r; DELETE FROM t",
        "SET/**/STATEMENT max_statement_time=1 FOR INSERT t VALUES (1)",
        "COMMIT/**/PREPARED 'x'",
        "SELECT /* a /* ' */ 1 */; DELETE FROM t WHERE a = 'b'",
        "COMMIT PREPARED 'x'",
        "ROLLBACK PREPARED 'x'",
    ],
)
def test_where_the_vendors_disagree_on_quotes_all_is_looked_at(sql: str) -> None:
    assert write_of(sql) == UNKNOWN


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN (" + "FORMAT JSON, VERBOSE true, " * 2_000 + ") SELECT 1",
        "EXPLAIN " + "a " * 20_000,
        "SELECT " + "'" * 20_001 + " INTO",
        "SELECT " + "/* " * 10_000 + " INTO",
        "UPDATE t SET " + "a = %s, " * 10_000 + "b",
        "(" * 20_000 + " INTO",
        "INSERT INTO " + "t." * 20_000,
        "DELETE FROM t" + " " * 100_000 + "!",
        "UPDATE t SET a = %s" + " " * 100_000 + "!",
    ],
    ids=lambda sql: sql[:12],
)
def test_no_statement_takes_long(sql: str) -> None:
    """Twice the text is about twice the work: it ends at all."""
    write_of(sql)


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ('UPDATE "t" SET "a" = %s WHERE "t"."id" = %s', {"a"}),
        ("update t set a=%s where id = 1", {"a"}),
        ("UPDATE `t` SET `a` = %s, `b` = %s WHERE `id` = 1", {"a", "b"}),
        ("UPDATE t\nSET a = %s ,\n b = %s\nWHERE id IN (SELECT 1)", {"a", "b"}),
        ('UPDATE t SET "last login" = %s WHERE id = 1', {"last login"}),
        # What is set to a value of the statement's own might be set by another column too: nobody knows.
        ('UPDATE t SET "a" = "t"."a" + %s WHERE id = 1', NONE),
        ("UPDATE t SET a = %s, b = (b + %s) WHERE id = 1", NONE),
        ("UPDATE t SET a = CASE WHEN id = %s THEN %s ELSE NULL END WHERE id = 1", NONE),
        ("UPDATE t SET (a, b) = (%s, %s) WHERE id = 1", NONE),
    ],
)
def test_an_update_by_parameters_tells_its_columns(sql: str, columns: frozenset[str]) -> None:
    assert write_of(sql) == Write("t", frozenset(columns), True)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (a) VALUES (%s) RETURNING id",
        'UPDATE "t" SET "a" = %s WHERE id = 1 returning "id"',
        "DELETE FROM t RETURNING *",
    ],
)
def test_of_rows_that_are_returned_the_cursor_tells_no_number_before_they_are_fetched(sql: str) -> None:
    write = write_of(sql)
    assert write is not None
    assert write.table == "t"
    assert not write.tells_rows


@pytest.mark.parametrize(
    "sql",
    ["UPDATE a, b SET b.x=1", "UPDATE a JOIN b ON 1 SET b.x=1", "DELETE FROM a, b USING a JOIN b", "DELETE FROM a b"],
)
def test_of_several_tables_none_is_the_only_one(sql: str) -> None:
    assert write_of(sql) == Write(None, NONE, tells_rows=sql.startswith("UPDATE"))


@pytest.mark.parametrize("name", ["`a` . `t`", '"a"."t"', "a.t"])
def test_a_name_in_parts_is_told_whole(name: str) -> None:
    assert write_of(f"INSERT INTO {name} VALUES (1)") == Write("a.t", NONE, False)


@pytest.mark.parametrize("end", ["", ";", " WHERE id = 1", " WHERE id = %s"])
@pytest.mark.parametrize("value", ["%s", "NULL"])
def test_an_update_of_all_rows_tells_its_columns_too(value: str, end: str) -> None:
    assert write_of(f'UPDATE "t" SET "a" = {value}{end}') == Write("t", frozenset(["a"]), True)


@pytest.mark.parametrize(
    "sql",
    [
        # Two statements.
        "UPDATE t SET a = %s WHERE id = 1; UPDATE u SET b = 1",
        "SELECT 1; DELETE FROM t",
        "BEGIN; TRUNCATE t; COMMIT",
        "DELETE FROM t; --",
        # A second statement in the midst of a first, or another way to write.
        "WITH moved AS (DELETE FROM t RETURNING *) SELECT * FROM moved",
        "WITH new AS (SELECT 1) INSERT INTO t SELECT * FROM new",
        "with new as (select 1) update t set a = 1",
        "WITH one AS (SELECT 1) REPLACE INTO t SELECT * FROM one",
        "WITH seen AS (SELECT 1 FOR UPDATE) DELETE FROM t",
        "SELECT * INTO u FROM t",
        "SELECT * FROM t INTO OUTFILE '/tmp/t'",
        "EXPLAIN ANALYZE DELETE FROM t",
        "SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)",
        "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
        # MariaDB runs what is in these comments.
        "/*!50000 INSERT INTO t VALUES (1) */",
        "SELECT 1 /*! INTO OUTFILE '/tmp/t' */",
        # What has no INTO or FROM, or one elsewhere.
        "INSERT t VALUES (1)",
        "INSERT DELAYED INTO t VALUES (1)",
        "DELETE t FROM t INNER JOIN u ON t.id = u.id",
        "INSERT /* into */ INTO t VALUES (1)",
        # Schemas, procedures, and all that this library does not know.
        "CREATE TABLE t (a int)",
        "CREATE TEMPORARY TABLE t (a int)",
        "ALTER TABLE t ADD b int",
        "DROP TABLE t",
        "TRUNCATE t",
        "VACUUM",
        "ANALYZE",
        "GRANT ALL ON t TO u",
        "COPY t FROM STDIN",
        "CALL nightly()",
        "DO $$ BEGIN PERFORM 1; END $$",
        "EXECUTE statement_1",
        "PREPARE statement_1 AS DELETE FROM t",
        "LOAD DATA INFILE 't' INTO TABLE t",
        "RENAME TABLE t TO u",
        "ATTACH DATABASE 'file' AS other",
        "REINDEX",
        "selection",
        "nonsense",
        ";",
        "/* no end",
        "'SELECT 1'",
        # It only looks like a write, but so it does.
        "EXPLAIN (ANALYZE, BUFFERS) SELECT 1",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
        "SET STATEMENT max_statement_time=1 FOR UPDATE t SET a=1",
        "/*M!100100 INSERT INTO t VALUES (1) */",
        'WITH x AS (SELECT 1) INSERT INTO"t" SELECT 1',
        "/* /* */ SELECT */ TRUNCATE t",
        "SELECT '/*'; DELETE FROM t --*/",
    ],
)
def test_in_doubt_it_writes_nobody_knows_where(sql: str) -> None:
    assert write_of(sql) == UNKNOWN


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("SELECT * FROM t WHERE id IN (", ")", None),
        ("INSERT INTO t VALUES (", ")", Write("t", NONE, False)),
        ("UPDATE t SET a = %s WHERE id IN (", ")", Write("t", frozenset({"a"}), True)),
        ("WITH one AS (SELECT ", ") DELETE FROM t", UNKNOWN),
        ("/* ", " */ DELETE FROM t", Write("t", NONE, False)),
        ("DELETE FROM t /* ", " */", Write(None, NONE, False)),
    ],
)
def test_a_very_long_statement_is_read_to_its_end(start: str, end: str, expected: Write | None) -> None:
    assert write_of(start + "%s, " * 100_000 + "%s" + end) == expected


@pytest.mark.parametrize("filling", ["(", "/*", "/**/", "--\n", " ", ";", "; ", "t.", '"', "SET a = %s, "])
@pytest.mark.parametrize(("start", "expected"), [("SELECT ", None), ("UPDATE t SET a = %s, ", Write("t", NONE, True))])
def test_a_long_statement_without_a_proper_end_is_read_as_well(
    start: str, expected: Write | None, filling: str
) -> None:
    """No pattern goes back over and over what it has read."""
    assert write_of(start + filling * 50_000) == expected


@pytest.mark.parametrize(("surplus", "is_remembered"), [(0, True), (1, False)])
def test_only_a_short_statement_is_remembered(surplus: int, is_remembered: bool) -> None:
    start = "DELETE FROM remembered WHERE id = "
    sql = start + "1" * (LONGEST_REMEMBERED - len(start) + surplus)
    assert write_of(sql) == Write("remembered", NONE, False)
    assert (write_of(sql) is write_of(sql)) is is_remembered


@contextmanager
def statements() -> Iterator[list[str]]:
    """What Django sends to the primary inside."""
    sent: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        sent.append(sql)
        return execute(sql, params, many, context)

    with use_primary_db, connections["default"].execute_wrapper(note):
        yield sent


@pytest.mark.django_db(databases="__all__")
class TestOfDjango:
    """What Django itself compiles, on this database and in this version."""

    @pytest.fixture
    def post(self) -> Post:
        return Post.objects.create(text="old")

    @pytest.fixture
    def book(self, post: Post) -> Book:
        with use_primary_db:
            book = Book.objects.create(shelf=Shelf.objects.create(name="old"))
            book.readers.add(post)
            return book

    @pytest.mark.parametrize(
        "read",
        [
            lambda post: list(Post.objects.all()),
            lambda post: list(Post.objects.filter(text__contains="delete; update").order_by("-text")[:3]),
            lambda post: Post.objects.get(pk=post.pk),
            lambda post: post.refresh_from_db(),
            lambda post: Post.objects.exists(),
            lambda post: Post.objects.count(),
            lambda post: Post.objects.aggregate(Max("text")),
            lambda post: list(Post.objects.annotate(readers=Count("book"))),
            lambda post: list(Post.objects.iterator(chunk_size=1)),
            lambda post: list(Post.objects.values_list("text").union(Post.objects.values_list("text"))),
            lambda post: list(Book.objects.select_related("shelf").prefetch_related("readers")),
            lambda post: Post.objects.in_bulk([post.pk]),
            lambda post: Post.objects.explain(),
            lambda post: Post.objects.get_or_create(text="old"),
            lambda post: list(Post.objects.raw("SELECT * FROM tests_post")),
            lambda post: Post.objects.none().update(text="new"),
        ],
    )
    def test_a_query_reads(self, post: Post, read: Callable[[Post], Any]) -> None:
        with statements() as sent:
            read(post)
        assert [sql for sql in sent if write_of(sql)] == []

    def test_a_lock_and_a_transaction_read(self, post: Post) -> None:
        with statements() as sent, transaction.atomic(), transaction.atomic():
            list(Post.objects.select_for_update())
        assert any(sql.startswith("SAVEPOINT") for sql in sent)
        assert [sql for sql in sent if write_of(sql)] == []

    @pytest.mark.parametrize(
        ("write", "expected"),
        [
            (lambda post: Post.objects.create(text="new"), {("tests_post", NONE)}),
            (lambda post: Post(text="new").save(), {("tests_post", NONE)}),
            (lambda post: post.save(), {("tests_post", frozenset({"text"}))}),
            (lambda post: post.save(update_fields=["text"]), {("tests_post", frozenset({"text"}))}),
            (lambda post: Post.objects.filter(pk=post.pk).update(text="new"), {("tests_post", frozenset({"text"}))}),
            (lambda post: Post.objects.filter(pk=post.pk).update(text=F("text")), {("tests_post", NONE)}),
            (lambda post: PinRow.objects.filter(client="a").delete(), {("tests_pinrow", NONE)}),
            (lambda post: Post.objects.bulk_create([Post(text="new")] * 3), {("tests_post", NONE)}),
            (lambda post: Post.objects.bulk_update([post], ["text"]), {("tests_post", NONE)}),
            (
                lambda post: PinRow.objects.bulk_create([PinRow(client="a")], ignore_conflicts=True),
                {("tests_pinrow", NONE)},
            ),
            (
                lambda post: PinRow.objects.bulk_create(
                    [PinRow(client="a")], update_conflicts=True, update_fields=["text"], unique_fields=["client"]
                ),
                {("tests_pinrow", NONE)},
            ),
            (lambda post: Post.objects.get_or_create(text="new"), {("tests_post", NONE)}),
            (lambda post: Post.objects.update_or_create(text="new"), {("tests_post", NONE)}),
            (
                lambda post: Post.objects.update_or_create(text="old", defaults={"text": "new"}),
                {("tests_post", frozenset({"text"}))},
            ),
            (
                lambda post: Session.objects.create(session_key="a", expire_date="2030-01-01T00:00Z"),
                {("django_session", NONE)},
            ),
            (
                lambda post: User.objects.filter(pk=1).update(last_login="2030-01-01T00:00Z", first_name="Ada"),
                {("auth_user", frozenset({"last_login", "first_name"}))},
            ),
        ],
    )
    def test_a_change_writes_to_its_table(
        self, post: Post, write: Callable[[Post], Any], expected: set[tuple[str, frozenset[str]]]
    ) -> None:
        with statements() as sent:
            write(post)
        writes = [each for each in map(write_of, sent) if each]
        assert {(write.table, write.columns) for write in writes} == expected

    @pytest.mark.parametrize(
        "write",
        [
            lambda readers, post: readers.add(Post.objects.create(text="new")),
            lambda readers, post: readers.create(text="new"),
            lambda readers, post: readers.remove(post),
            lambda readers, post: readers.set([]),
            lambda readers, post: readers.clear(),
        ],
        ids=["add", "create", "remove", "set", "clear"],
    )
    def test_a_change_of_many_to_many_writes_to_the_table_between(
        self, book: Book, post: Post, write: Callable[[Any, Post], Any]
    ) -> None:
        with statements() as sent:
            write(book.readers, post)
        tables = [each.table for each in map(write_of, sent) if each]
        assert tables[-1] == "tests_book_readers"
        assert set(tables) <= {"tests_book_readers", "tests_post"}

    def test_a_deletion_writes_to_each_table_that_it_cascades_to(self, book: Book) -> None:
        with statements() as sent:
            book.shelf.delete()
        tables = sorted({each.table for each in map(write_of, sent) if each})
        assert tables == ["tests_book", "tests_book_readers", "tests_shelf"]
