"""Frames come out as they went in, however the stream was cut, and garbage is never taken for one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.cluster.frames import (
    FRAME_BYTES_MAX,
    Answer,
    Cancel,
    Failure,
    FrameDecoder,
    Hello,
    Request,
    encode_frame,
)
from objstore.model.errors import CorruptRecord, NoSuchUpload

IDS = st.integers(0, 2**63 - 1)
FRAMES = st.one_of(
    st.builds(Hello, st.integers(0, 99), st.text(max_size=40), st.text(max_size=40)),
    st.builds(Request, IDS, st.text(max_size=20), st.binary(max_size=300)),
    st.builds(Answer, IDS, st.binary(max_size=300)),
    st.builds(
        Failure,
        IDS,
        st.text(max_size=20),
        st.text(max_size=20),
        st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5), max_size=3),
    ),
    st.builds(Cancel, IDS),
)


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_survive_every_cut_of_the_stream(frames, data) -> None:
    """A stream has no borders: a frame may come byte by byte, or many at once."""
    stream = b"".join(bytes(encode_frame(frame)) for frame in frames)
    decoder = FrameDecoder()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == frames
    assert decoder.pending_bytes == 0


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_waited_for(garbage) -> None:
    """Whatever arrives, the decoder raises the one expected error or gives typed frames; memory stays bounded."""
    decoder = FrameDecoder()
    try:
        frames = decoder.feed(garbage)
    except CorruptRecord:
        return
    assert all(isinstance(frame, Hello | Request | Answer | Failure | Cancel) for frame in frames)
    assert decoder.pending_bytes <= len(garbage)


@pytest.mark.parametrize("size", [0, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_its_bytes_come(size) -> None:
    """Four bytes from a stranger must not reserve four gigabytes."""
    with pytest.raises(CorruptRecord):
        FrameDecoder().feed(size.to_bytes(4, "big"))


def test_a_frame_of_another_kind_is_refused() -> None:
    """A newer peer's frame that we do not know must not be mistaken for one we do."""
    body = msgspec.msgpack.encode([99, 1])
    with pytest.raises(CorruptRecord):
        FrameDecoder().feed(len(body).to_bytes(4, "big") + body)


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    """The other side would cut the stream for all requests; only this one must fail."""
    with pytest.raises(CorruptRecord):
        encode_frame(Answer(1, bytes(FRAME_BYTES_MAX + 1)))


def test_errors_travel_with_their_values() -> None:
    """S3's error documents show the values of an error, whichever process raised it."""
    error = NoSuchUpload("gone", upload_id="u1")
    (frame,) = FrameDecoder().feed(encode_frame(Failure.of(7, error)))
    assert frame.request_id == 7
    assert frame.error() == error
