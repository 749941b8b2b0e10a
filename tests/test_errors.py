"""What is raised: of which kind it is, and what of it can be copied and sent."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from boundedjobs import BoundedRunner, NotRunnable, RunnerClosed, RunnerFull
from tests.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Callable


ERRORS = (RunnerFull, RunnerClosed, NotRunnable)


def full() -> None:
    gate = Gate()
    with BoundedRunner(1, max_pending=1) as runner:
        runner.submit(gate)
        gate.wait_for()
        runner.submit(gate)
        try:
            runner.submit(print)
        finally:
            gate.open()


def closed() -> None:
    runner = BoundedRunner(1)
    runner.shutdown()
    runner.submit(print)


def not_runnable() -> None:
    with BoundedRunner(1) as runner:
        runner.submit(7)  # type: ignore[call-overload]  # the point


def of_its_job(refuse: Callable[[], None]) -> None:
    """Raise what the refused job says of itself."""
    with pytest.raises(ERRORS) as caught:
        refuse()
    assert caught.value.job is not None
    caught.value.job.result()


REFUSALS = [full, closed, not_runnable]
every_refusal = pytest.mark.parametrize(
    "refuse",
    [*REFUSALS, *(partial(of_its_job, refuse) for refuse in REFUSALS)],
    ids=[f"{refuse.__name__}{of}" for of in ("", ", of its job") for refuse in REFUSALS],
)


def picklings() -> list[Callable[[Any], Any]]:
    def pickled(protocol: int, exc: Any) -> Any:
        return pickle.loads(pickle.dumps(exc, protocol))

    return [partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


@every_refusal
def test_a_refusal_is_copied_and_pickled_whole_but_for_its_job(refuse: Callable[[], None]) -> None:
    with pytest.raises(ERRORS) as caught:
        refuse()
    caught.value.add_note("at noon")
    ways: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, *picklings()]
    for again in ways:
        other = again(caught.value)
        assert (type(other), str(other)) == (caught.type, str(caught.value))
        assert vars(other) == {**vars(caught.value), "job": None}


def test_a_copy_of_runner_full_has_its_figures() -> None:
    with pytest.raises(RunnerFull) as caught:
        full()
    other = copy.copy(caught.value)
    assert (other.limit, other.running, other.pending, other.job) == (1, 1, 1, None)
    assert caught.value.job is not None


def test_a_refusal_of_a_users_own_making_needs_no_job() -> None:
    assert RunnerFull("full", limit=1, running=1, pending=0).job is None
    assert RunnerClosed("closed").job is NotRunnable("no").job is None
