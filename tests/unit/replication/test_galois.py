"""The definition itself: field laws, the matrix, and the slow decoder."""

from __future__ import annotations

import itertools
import random

import pytest

from objstore.model.errors import InvariantError
from objstore.model.objects import Scheme
from objstore.replication.coding import encode
from objstore.replication.galois import decode_slowly, encode_slowly, generator_row


def test_field_is_the_one_of_the_polynomial():
    """2 * 128 wraps around by 0x11d; 1/2 is 142. Known values of this field."""
    assert generator_row(Scheme(2, 1), 2) == [142, 244]
    assert encode_slowly(Scheme(2, 1), [bytes([2]), bytes([0])], 2) == bytes([1])


def test_slow_decoder_reads_what_the_fast_coder_wrote():
    """The way out when the library is gone: any k shards, elimination, the data."""
    scheme, block = Scheme(4, 2), random.Random(1).randbytes(40)
    shards = [bytes(shard) for shard in encode(scheme, block)]
    for kept in itertools.combinations(range(6), 4):
        data = decode_slowly(scheme, {index: shards[index] for index in kept})
        assert b"".join(data) == block


def test_decoding_takes_k():
    """Elimination on fewer rows would make data up."""
    with pytest.raises(InvariantError):
        decode_slowly(Scheme(4, 2), {0: b"x", 1: b"y", 2: b"z"})
