"""The failure detector on recorded and on generated traces of arrivals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.cluster.failure_detector import DetectorSettings, FailureDetector, Health

SETTINGS = DetectorSettings()
SUSPECT_BOUND_MS = int(SETTINGS.suspect_ms * SETTINGS.stretch_max)
DOWN_BOUND_MS = int(SETTINGS.down_ms * SETTINGS.stretch_max)
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "heartbeats.json"


class Run:
    """A detector with its timer called at each of its deadlines, and all that it decided."""

    def __init__(self):
        self.detector = FailureDetector(SETTINGS)
        self.detector.add("p", 0)
        self.found = []

    def until(self, now):
        while (due := self.detector.next_deadline()) is not None and due <= now:
            self.found += [(due, each.after) for each in self.detector.handle_timer(due)]

    def hear(self, times):
        for now in times:
            self.until(now - 1)
            self.detector.heartbeat("p", now)
        return self

    def verdicts(self, health):
        return [due for due, after in self.found if after is health]


@st.composite
def traces(draw, *, loss_max=0.3, jitter_max_ms=400, pauses=True, heartbeats_max=150):
    """Arrival times: a rhythm with jitter and loss; after a pause what was held back comes in one burst."""
    loss = draw(st.floats(0, loss_max))
    jitter_ms = draw(st.integers(0, jitter_max_ms))
    random = draw(st.randoms(use_true_random=False))
    pause = draw(st.tuples(st.integers(0, 60_000), st.integers(0, 20_000))) if pauses else (0, 0)
    times = []
    for sent in range(500, 500 * draw(st.integers(1, heartbeats_max)), 500):
        came = sent + random.randint(0, jitter_ms)
        if random.random() >= loss:
            times.append(sum(pause) if pause[0] <= came < sum(pause) else came)
    return sorted(times)


@given(traces(loss_max=0, jitter_max_ms=400, pauses=False))
@settings(max_examples=100, deadline=None)
def test_who_is_heard_regularly_is_never_accused(times):
    """Jitter below a heartbeat is life, and flapping verdicts move leaders for nothing."""
    assert Run().hear(times).found == []


@given(traces())
@settings(max_examples=150, deadline=None)
def test_silence_is_always_noticed_within_the_bound(times):
    """However bad the link was: a dead peer must not be waited for longer than the settings say."""
    run = Run().hear(times)
    last = times[-1] if times else 0
    run.until(last + SUSPECT_BOUND_MS)
    assert run.detector.health("p") >= Health.SUSPECT
    run.until(last + DOWN_BOUND_MS)
    assert run.detector.health("p") is Health.DOWN
    run.until(last + SETTINGS.out_ms)
    assert run.detector.health("p") is Health.OUT


@given(traces())
@settings(max_examples=100, deadline=None)
def test_nobody_is_accused_before_the_plain_limits(times):
    """Unsteadiness buys time, it never costs any: 1.5 s and 3 s of silence are the least."""
    run = Run().hear(times)
    run.until((times[-1] if times else 0) + 10**7)
    heard = [0, *times]
    for due, after in run.found:
        silence_ms = due - max(time for time in heard if time <= due)
        limits = {
            Health.SUSPECT: SETTINGS.suspect_ms,
            Health.DOWN: SETTINGS.down_ms,
            Health.OUT: SETTINGS.out_ms,
        }
        assert silence_ms >= limits[after]


@given(traces(), st.lists(st.integers(1, 5_000), max_size=60))
@settings(max_examples=100, deadline=None)
def test_suspicion_only_grows_in_silence(times, steps):
    """A verdict that softens by itself would mean that silence is good news."""
    run = Run().hear(times)
    now = times[-1] if times else 0
    levels = [(run.detector.health("p"), run.detector.phi("p", now))]
    for step in steps:
        now += step
        run.until(now)
        levels.append((run.detector.health("p"), run.detector.phi("p", now)))
    assert levels == sorted(levels, key=lambda level: level[0])
    assert [phi for _, phi in levels] == sorted(phi for _, phi in levels)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["heartbeat", "refused", "lag", "timer", "deadline"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 4_000),
    ),
    max_size=120,
)


@given(EVENTS)
@settings(max_examples=200, deadline=None)
def test_in_doubt_nobody_is_accused_whatever_happens(events):
    """The twin knows one thing only: when the detector was told, or must have seen, that it was late."""
    detector = FailureDetector(SETTINGS)
    for peer in "abc":
        detector.add(peer, 0)
    now = doubt_until = 0
    for kind, peer, amount in events:
        before = detector.all_health()
        due = detector.next_deadline()
        now = max(now, due) if kind == "deadline" and due is not None else now + amount
        late_ms = now - due if kind in {"timer", "deadline"} and due is not None else 0
        if kind == "lag":
            late_ms = amount
            detector.loop_lag(now, amount)
        if late_ms > SETTINGS.lag_max_ms:
            doubt_until = now + SETTINGS.doubt_ms
        if kind == "heartbeat":
            detector.heartbeat(peer, now, float(amount))
        elif kind == "refused":
            detector.connection_refused(peer, now)
        elif kind in {"timer", "deadline"}:
            detector.handle_timer(now)
        assert detector.is_doubting(now) == (now < doubt_until)
        worse = [name for name, health in detector.all_health().items() if health > before[name]]
        assert not worse or (now >= doubt_until and kind in {"timer", "deadline"})


@given(EVENTS, st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_same_events_give_the_same_verdicts(events, start):
    """Nothing but the arguments decides, and only differences of time count."""

    def play(offset):
        detector = FailureDetector(SETTINGS)
        detector.add("a", offset)
        now, found = offset, []
        for kind, _, amount in events:
            now += amount
            if kind == "heartbeat":
                found += detector.heartbeat("a", now, float(amount))
            elif kind == "refused":
                detector.connection_refused("a", now)
            else:
                found += detector.handle_timer(now)
        return found

    assert play(10_000) == play(10_000 + start)


@pytest.mark.parametrize("name", ["quiet", "busy", "paused"])
def test_recorded_heartbeats_of_a_living_peer(name):
    """Recorded between two processes: undisturbed, beside three busy ones, and with the sender stopped now and then."""
    times = json.loads(SAMPLES.read_text())[name]
    longest_ms = max(after - before for before, after in zip([0, *times], times, strict=False))
    run = Run().hear(times)
    assert longest_ms < SETTINGS.down_ms
    assert run.verdicts(Health.DOWN) == []
    assert len(run.verdicts(Health.SUSPECT)) <= sum(
        after - before >= SETTINGS.suspect_ms for before, after in itertools.pairwise(times)
    )
    run.until(times[-1] + DOWN_BOUND_MS)
    assert run.detector.health("p") is Health.DOWN
