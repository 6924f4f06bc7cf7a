"""Rows written behind are the rows that statements at once would have left."""

from contextlib import closing

import apsw
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.metadata import statements as sql
from objstore.metadata.records import VersionRow
from objstore.metadata.row_buffer import RowBuffer
from objstore.metadata.schema import ddl

KEYS = [b"k%02d" % number for number in range(90)]
"""More than the largest statement takes."""
SHARDS = (1, 2)

places = st.tuples(st.sampled_from(SHARDS), st.sampled_from(KEYS))
inline_ids = st.integers(0, 200)
steps = st.one_of(
    st.tuples(st.just("put"), places, st.integers(1, 9)),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("read"), places),
    st.tuples(st.just("ahead"), st.sampled_from(SHARDS), st.lists(st.sampled_from(KEYS))),
    st.tuples(st.just("keep"), st.binary(max_size=9)),
    st.tuples(st.just("drop"), inline_ids),
    st.just(("write",)),
)
bursts = st.lists(st.tuples(st.just("put"), places, st.integers(1, 9)), min_size=60, max_size=120)


def row_of(key, number):
    return VersionRow(
        *(key, number, "null", 0, 5, 7, "etag", "STANDARD", None, None, "me", None, b"record")
    )


class AtOnce:
    """The dumb twin: dictionaries, changed by every step."""

    def __init__(self):
        self.objects = {}
        self.inline = {}

    def play(self, step):
        match step:
            case ("put", (shard, key), number):
                self.objects[shard, key] = row_of(key, number)
            case ("remove", place):
                self.objects.pop(place, None)
            case ("keep", data):
                self.inline[len(self.inline) + 1000] = data
            case ("drop", number):
                self.inline[number] = None


def play(buffer, twin, step):
    match step:
        case ("put", (shard, key), number):
            buffer.put_current(shard, row_of(key, number))
        case ("remove", (shard, key)):
            buffer.remove_current(shard, key)
        case ("read", (shard, key)):
            assert buffer.current(shard, key) == twin.objects.get((shard, key))
        case ("ahead", shard, keys):
            buffer.read_ahead(shard, keys)
        case ("keep", data):
            buffer.add_inline(len(twin.inline) + 1000, data)
        case ("drop", number):
            buffer.remove_inline(number)
        case ("write",):
            buffer.write()
    twin.play(step)


def rows_in(connection):
    found = connection.execute("SELECT * FROM objects").fetchall()
    objects = {(row[0], row[1]): VersionRow._make(row[1:]) for row in found}
    inline = connection.execute("SELECT id, digest, data FROM inline").fetchall()
    assert all(digest == xxhash.xxh3_64_digest(data) for _, digest, data in inline)
    return objects, {number: data for number, _, data in inline}


@settings(max_examples=60, deadline=None)
@given(st.lists(places, unique=True), st.lists(st.one_of(steps, bursts), max_size=25))
def test_a_buffer_leaves_the_rows_of_statements_at_once(before, script):
    """A reader must find after COMMIT what each command of the batch would have written by itself."""
    twin = AtOnce()
    with closing(apsw.Connection(":memory:")) as connection:
        for statement in ddl():
            connection.execute(statement)
        buffer = RowBuffer(connection)
        for place in before:
            play(buffer, twin, ("put", place, 1))
        buffer.write()
        for entry in script:
            for step in entry if isinstance(entry, list) else [entry]:
                play(buffer, twin, step)
        buffer.write()
        objects, inline = rows_in(connection)
    assert objects == twin.objects
    assert inline == {number: data for number, data in twin.inline.items() if data is not None}


def test_what_is_forgotten_is_neither_written_nor_read():
    """After a rollback the rows of before are the truth."""
    with closing(apsw.Connection(":memory:")) as connection:
        for statement in ddl():
            connection.execute(statement)
        buffer = RowBuffer(connection)
        buffer.put_current(1, row_of(b"a", 1))
        buffer.add_inline(1, b"x")
        buffer.forget()
        assert buffer.current(1, b"a") is None
        buffer.write()
        assert rows_in(connection) == ({}, {})


def test_a_batch_is_few_statements():
    """That is what the buffer is for: 100 rows in 5 statements each way, not in 100."""
    with closing(apsw.Connection(":memory:")) as connection:
        for statement in ddl():
            connection.execute(statement)
        seen = []
        connection.set_exec_trace(lambda _cursor, text, _values: seen.append(text) or True)
        buffer = RowBuffer(connection)
        keys = [b"%03d" % number for number in range(100)]
        buffer.read_ahead(1, keys)
        assert len(seen) == 100 // 64 + 36 // 16 + 1
        for key in keys:
            assert buffer.current(1, key) is None
            buffer.put_current(1, row_of(key, 1))
        buffer.write()
        assert len(seen) == 2 * (100 // 64 + 36 // 16 + 1)
        assert seen[-1] == sql.PUT_CURRENT_ROWS[4]
