"""The failure detector, case by case. What holds for all traces stands in tests/properties."""

from __future__ import annotations

import math

import pytest

from objstore.cluster.failure_detector import (
    DetectorSettings,
    FailureDetector,
    Health,
    Reason,
)
from objstore.model.errors import InvariantError


def regular(until_ms=20_000, *, rtt_ms=None, settings=None):
    """Return a detector that heard a peer every half second up to a moment."""
    detector = FailureDetector(settings or DetectorSettings())
    detector.add("p", 0)
    for now in range(500, until_ms + 1, 500):
        assert detector.heartbeat("p", now, rtt_ms) == ()
        assert detector.next_deadline() > now
    return detector


def step(detector):
    """Let the time of the next deadline come; return it with what was decided then."""
    due = detector.next_deadline()
    return due, [(each.before, each.after, each.reason) for each in detector.handle_timer(due)]


def test_silence_is_judged_in_three_steps():
    """The plain limits hold for a steady peer: 1.5 s, 3 s, 15 min."""
    detector = regular()
    assert step(detector) == (21_500, [(Health.ALIVE, Health.SUSPECT, Reason.SILENCE)])
    assert step(detector) == (23_000, [(Health.SUSPECT, Health.DOWN, Reason.SILENCE)])
    assert step(detector) == (920_000, [(Health.DOWN, Health.OUT, Reason.SILENCE)])
    assert detector.next_deadline() is None


@pytest.mark.parametrize("after", [Health.SUSPECT, Health.DOWN, Health.OUT])
def test_a_heartbeat_ends_every_verdict(after):
    """A peer that speaks lives, whatever was thought of it."""
    detector = regular()
    while detector.health("p") < after:
        due, _ = step(detector)
    (recovery,) = detector.heartbeat("p", due + 5)
    assert (recovery.before, recovery.after) == (after, Health.ALIVE)
    assert recovery.silence_ms == due + 5 - 20_000
    assert detector.health("p") is Health.ALIVE


def test_nothing_is_decided_early():
    """A timer that fires early, as timers do, must not make a verdict early."""
    detector = regular()
    assert detector.handle_timer(21_499) == []
    assert detector.health("p") is Health.ALIVE


def test_an_unsteady_peer_gets_more_time_but_bounded():
    """A bad link must not move leaders all day; a dead peer behind one must still be noticed."""
    steady, unsteady = regular(), FailureDetector(DetectorSettings())
    unsteady.add("p", 0)
    now = 0
    for number in range(200):
        now += 500 if number % 3 else 2_500
        unsteady.heartbeat("p", now)
    suspect_ms = unsteady.next_deadline() - now
    assert steady.next_deadline() - 20_000 == 1_500
    assert 1_500 < suspect_ms <= 3_000
    step(unsteady)
    assert 3_000 < unsteady.next_deadline() - now <= 6_000


def test_a_slow_round_trip_buys_time():
    """Across an ocean a heartbeat comes late without anything being wrong."""
    settings = DetectorSettings(suspect_ms=1_050)
    near, far = (regular(rtt_ms=rtt_ms, settings=settings) for rtt_ms in (1.0, 400.0))
    assert near.next_deadline() < far.next_deadline() <= 20_000 + 2_100


def test_a_refused_connection_is_faster_than_silence():
    """The kernel of the peer's machine says that the process is gone: no need to wait for 3 s."""
    detector = regular()
    detector.connection_refused("p", 20_100)
    assert step(detector) == (20_100, [(Health.ALIVE, Health.SUSPECT, Reason.REFUSED)])
    detector.connection_refused("p", 20_400)
    assert detector.handle_timer(20_400) == []
    detector.connection_refused("p", 20_600)
    assert step(detector) == (20_600, [(Health.SUSPECT, Health.DOWN, Reason.REFUSED)])


def test_a_process_that_is_back_after_one_refusal_is_not_down():
    """A restart takes less than the time that refusals must last."""
    detector = regular()
    detector.connection_refused("p", 20_100)
    step(detector)
    detector.heartbeat("p", 20_300)
    detector.connection_refused("p", 20_700)
    assert step(detector)[1] == [(Health.ALIVE, Health.SUSPECT, Reason.REFUSED)]
    assert detector.next_deadline() == 20_300 + 3_000


def test_who_was_late_accuses_nobody_until_it_has_read_its_mail():
    """After a pause of the own process all peers look silent; their heartbeats wait in the sockets."""
    detector = regular()
    detector.loop_lag(30_000, 9_500)
    assert detector.is_doubting(30_000)
    assert detector.handle_timer(30_000) == []
    assert detector.health("p") is Health.ALIVE
    detector.heartbeat("p", 30_200)
    assert detector.next_deadline() == 30_200 + 1_500


def test_silence_that_goes_on_after_the_doubt_counts():
    """Doubt is a delay, not an excuse: a dead peer is named as soon as it is over."""
    detector = regular()
    detector.loop_lag(30_000, 9_500)
    due, found = step(detector)
    assert due == 31_000
    assert [after for _, after, _ in found] == [Health.SUSPECT, Health.DOWN]


def test_being_called_late_is_doubt_enough():
    """The first thing after a pause may be the detector's own timer, before anybody measured the lag."""
    detector = regular()
    assert detector.handle_timer(30_000) == []
    assert detector.is_doubting(30_500)
    assert detector.next_deadline() == 31_000


def test_a_little_lag_is_no_reason_to_doubt():
    """Otherwise a busy node would never notice a death."""
    detector = regular()
    detector.loop_lag(21_400, 500)
    assert step(detector) == (21_500, [(Health.ALIVE, Health.SUSPECT, Reason.SILENCE)])


def test_a_refusal_waits_for_the_end_of_doubt():
    """Nothing gets worse in doubt, not even on good evidence."""
    detector = regular()
    detector.loop_lag(20_050, 600)
    detector.connection_refused("p", 20_100)
    assert detector.handle_timer(20_100) == []
    assert step(detector) == (21_050, [(Health.ALIVE, Health.SUSPECT, Reason.REFUSED)])


def test_an_outage_teaches_nothing():
    """After an hour of absence the next silence must not be waited for at length."""
    detector = regular()
    for _ in range(2):
        step(detector)
    detector.heartbeat("p", 3_600_000)
    assert detector.next_deadline() == 3_601_500


def test_time_that_steps_back_changes_nothing():
    """A caller's clock must not make a silence negative or a verdict late."""
    detector = regular()
    detector.heartbeat("p", 100)
    assert detector.next_deadline() == 21_500


def test_strangers_and_those_removed_have_no_say():
    """Messages of a node that left may still be on their way."""
    detector = regular()
    detector.remove("p")
    assert detector.heartbeat("p", 20_100) == ()
    detector.connection_refused("p", 20_100)
    assert detector.next_deadline() is None
    assert detector.health("p") is Health.OUT
    assert detector.all_health() == {}


def test_adding_twice_does_not_count_as_a_heartbeat():
    """Membership is told again and again; it must not keep a dead peer alive."""
    detector = regular()
    detector.add("p", 21_400)
    assert detector.next_deadline() == 21_500
    assert detector.all_health() == {"p": Health.ALIVE}


def test_phi_is_the_logarithm_of_the_odds():
    """At the mean the odds are even; far out, phi must grow and not overflow."""
    detector = regular()
    assert detector.phi("p", 20_500) == pytest.approx(math.log10(2), rel=0.01)
    assert detector.phi("p", 20_000) < 1e-6
    assert 8 < detector.phi("p", 22_000) < detector.phi("p", 10**9) < math.inf


@pytest.mark.parametrize(
    "wrong",
    [
        {"suspect_ms": 500},
        {"down_ms": 1_500},
        {"out_ms": 6_000},
        {"stretch_max": 0.5},
        {"phi_down": 1.0},
        {"weight": 1.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong):
    """A detector that suspects after every heartbeat is worse than none."""
    with pytest.raises(InvariantError):
        DetectorSettings(**wrong)
