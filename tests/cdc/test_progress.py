"""Off a terminal a command tells of long work now and then, and nothing else does."""

import pytest

from cdc import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as the test says."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def work(clock, seconds):
    with progress.image_bar("encoding", total=100) as advance:
        for _ in range(100):
            clock[0] += seconds / 100
            advance()


def test_quick_work_is_silent_and_long_work_tells_how_far_it_is(clock, capsys):
    with progress.lines():
        work(clock, 2.0)
        assert capsys.readouterr().err == ""
        work(clock, 40.0)
    assert capsys.readouterr().err.splitlines() == [
        "encoding: 8 of 100 images ...", "encoding: 46 of 100 images ...", "encoding: 84 of 100 images ...",
    ]  # fmt: skip


def test_epochs_tell_their_loss(clock, capsys):
    with progress.lines(), progress.epoch_bar("training CDC", total=3) as report:
        for epoch in (1, 2, 3):
            clock[0] += 10.0
            report(epoch, 0.5)
    assert capsys.readouterr().err == "training CDC: 1 of 3 epochs, loss 0.5000 ...\n"


def test_outside_a_command_and_within_other_work_nothing_is_told(clock, capsys):
    work(clock, 40.0)
    with progress.lines(), progress.silence():
        work(clock, 40.0)
    with progress.lines(), progress.image_bar(None, total=3) as advance:
        clock[0] += 40.0
        advance()
    assert capsys.readouterr().err == ""
