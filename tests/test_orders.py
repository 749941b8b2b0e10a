"""Two things that happen together, in every order: the promise holds in each.

Each scene is played by `tests.orders`: threads of which one runs at a time, and a loop whose ready
steps run in any order; under all schedules with so many deviations from the plain course.
"""

from __future__ import annotations

import concurrent.futures
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boundedjobs import BoundedJobsError, JobStatus
from tests.orders.baton import Baton, Lock
from tests.orders.search import Plan, Schedule, explore, plans
from tests.orders.stage import STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Figures

    Scene = Callable[[Callable[..., Stage]], None]

SUCCEEDED, FAILED = JobStatus.SUCCEEDED, JobStatus.FAILED
CANCELLED, INTERRUPTED = JobStatus.CANCELLED, JobStatus.INTERRUPTED


def cancel_against_start(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first, second = stage.hold(), stage.submit(is_held=True)
    answers: list[bool] = []
    stage.together(partial(stage.open, first), lambda: answers.append(second.cancel()))
    stage.end()
    assert first.status is SUCCEEDED
    assert answers == [second.status is CANCELLED], "what cancel() said is not so"
    assert answers == [True] or not stage.is_async


def finish_against_deadline(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(timeout=5)
    first, second = stage.hold(), stage.submit()
    stage.together(partial(stage.open, first), time_passes=True)
    stage.end()
    assert first.status in (SUCCEEDED, FAILED)
    assert second.status in (SUCCEEDED, FAILED)  # its time, too, may have passed


def finish_against_the_deadline_of_a_closing(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first, second = stage.hold(), stage.submit()
    stage.together(
        partial(stage.open, first),
        partial(stage.runner.shutdown, wait=False, timeout=5),
        time_passes=True,
    )
    stage.end()
    assert first.status in (SUCCEEDED, INTERRUPTED)
    assert second.status in (SUCCEEDED, INTERRUPTED)


def submit_against_close(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    refused: list[BoundedJobsError] = []
    stage.together(
        partial(stage.try_to_submit, refused), partial(stage.runner.shutdown, wait=False)
    )
    stage.end()
    assert [job.status for job in stage.bodies] == [SUCCEEDED] * (1 - len(refused))


def waiter_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    job = stage.hold()
    called: list[object] = []
    stage.together(
        partial(stage.open, job),
        partial(stage.wait_for, job),
        partial(job.add_done_callback, called.append),
    )
    stage.end()
    assert called == [job]


def limit_change_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first, second, third = stage.hold(), stage.hold(), stage.hold()
    stage.together(partial(stage.open, first), partial(stage.set_limit, 2))
    assert stage.active == 2, "a slot is not used"
    stage.end()
    assert [job.status for job in (first, second, third)] == [SUCCEEDED] * 3


def lower_limit_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(limit=2)
    first, _, _ = stage.hold(), stage.hold(), stage.hold()
    stage.together(partial(stage.open, first), partial(stage.set_limit, 1))
    assert 1 <= stage.active <= 2
    stage.end()


def submit_and_cancel_against_a_worker(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    stage.submit()
    stage.settle()  # a worker waits, or the loop
    answers: list[bool] = []
    stage.together(lambda: answers.append(stage.submit(is_held=True).cancel()))
    job = [*stage.bodies][-1]
    stage.end()
    assert job.status in (SUCCEEDED, CANCELLED)
    assert answers == [job.status is CANCELLED], "what cancel() said is not so"


def two_cancels(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    stage.hold()
    job = stage.submit()
    answers: list[bool] = []
    stage.together(lambda: answers.append(job.cancel()), lambda: answers.append(job.cancel()))
    stage.end()
    assert answers == [True, True]
    assert job.status is CANCELLED


def submit_against_a_closing_that_waits(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first = stage.hold()
    refused: list[BoundedJobsError] = []
    stage.together(
        partial(stage.open, first), partial(stage.try_to_submit, refused), stage.close_and_wait
    )
    stage.end()
    assert [job.status for job in stage.bodies] == [SUCCEEDED] * (2 - len(refused))


def opening_anew_against_the_last_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first = stage.hold()
    stage.runner.shutdown(wait=False)

    def open_anew() -> None:
        stage.runner.__enter__()
        stage.submit()

    stage.together(partial(stage.open, first), open_anew)
    stage.end()
    assert [job.status for job in stage.bodies][:2] == [SUCCEEDED] * 2


def room_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(max_pending=0, when_full="wait")
    first = stage.hold()
    stage.together(stage.submit, stage.submit, partial(stage.open, first))
    assert len(stage.bodies) == 3, "a submit never came back"
    stage.end()
    assert [job.status for job in stage.bodies][:3] == [SUCCEEDED] * 3


def room_against_close(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(max_pending=0, when_full="wait")
    first = stage.hold()
    refused: list[BoundedJobsError] = []
    stage.together(
        partial(stage.try_to_submit, refused),
        partial(stage.open, first),
        partial(stage.runner.shutdown, wait=False),
    )
    stage.end()
    assert [job.status for job in stage.bodies] == [SUCCEEDED] * (2 - len(refused))


def pause_against_start(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    first, second = stage.hold(), stage.submit(is_held=True)
    found: list[JobStatus] = []

    def pause() -> None:
        stage.runner.pause()
        found.append(second.status)

    stage.together(partial(stage.open, first), pause)
    assert [second.status] == found, "it became RUNNING while paused"
    stage.end()
    assert second.status is SUCCEEDED


def submit_and_pause_against_a_worker(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    stage.submit()
    stage.settle()  # a worker waits, or the loop
    found: list[JobStatus] = []

    def submit_and_pause() -> None:
        job = stage.submit(is_held=True)
        stage.runner.pause()
        found.append(job.status)

    stage.together(submit_and_pause)
    assert [[*stage.bodies][-1].status] == found, "it became RUNNING while paused"
    stage.end()


def report_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    job = stage.hold()
    stage.together(partial(job.report, 0.5), partial(stage.open, job), partial(job.report, 0.7))
    stage.end()
    assert job.status is SUCCEEDED


def callback_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    job = stage.hold()
    called: list[object] = []
    stage.together(
        partial(job.add_done_callback, called.append),
        partial(stage.open, job),
        partial(job.add_done_callback, called.append),
    )
    stage.end()
    assert called == [job, job]


def futures_wait_against_cancel(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    stage.hold()
    job = stage.submit()
    done: list[object] = []

    def wait() -> None:
        done.extend(concurrent.futures.wait([job]).done)

    stage.together(wait, job.cancel)
    assert done == [job]
    stage.end()


def a_wait_with_a_timeout_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    job = stage.hold()
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(job.result(5))
        except TimeoutError:
            outcome.append("too late")

    stage.together(wait, partial(stage.open, job), time_passes=True)
    stage.end()
    assert outcome in ([1], ["too late"])


def iterating_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    jobs = stage.as_completed(True, False, False)
    stage.together(partial(stage.iterate, jobs), stage.open)
    assert stage.iterated == 1, "who iterates was not woken"
    stage.end()
    assert [job.status for job in stage.bodies][:3] == [SUCCEEDED] * 3


def taking_one_against_iterating(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    jobs = stage.as_completed(False, False, False, buffersize=0)
    stage.together(partial(stage.take_one, jobs), partial(stage.iterate, jobs))
    assert stage.iterated == 1, "who iterates was not woken"
    stage.end()
    assert [job.status for job in stage.bodies][:3] == [SUCCEEDED] * 3


def leaving_against_iterating(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    stage.knows_all = False
    jobs = stage.as_completed(False, True)
    stage.together(partial(stage.iterate, jobs), jobs.close)
    assert stage.iterated == 1, "who iterates was not woken"
    stage.end()
    assert {job.status for job in stage.bodies} <= {SUCCEEDED}


def close_against_iterating(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage()
    jobs = stage.as_completed(False, False, False, buffersize=0)
    stage.together(partial(stage.iterate, jobs), partial(stage.runner.shutdown, wait=False))
    stage.end()
    assert [job.status for job in stage.bodies] == [SUCCEEDED] * len(stage.bodies)
    assert len(stage.bodies) == 3 or stage.refused == 1
    assert stage.iterated == 1


def room_against_iterating(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(max_pending=0)
    first = stage.hold()
    jobs = stage.as_completed(False, False)
    stage.together(partial(stage.iterate, jobs), partial(stage.open, first))
    assert stage.iterated == 1, "who iterates was not woken"
    assert len(stage.bodies) == 3
    stage.end()


def stuck_against_finish(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(stuck_after=5)
    job = stage.hold()
    stage.together(partial(stage.open_after, 5, job))
    stage.pass_time(5)  # when it counts as stuck
    stage.end()
    assert job.status is SUCCEEDED


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        cancel_against_start,
        submit_and_cancel_against_a_worker,
        two_cancels,
        finish_against_deadline,
        finish_against_the_deadline_of_a_closing,
        submit_against_close,
        submit_against_a_closing_that_waits,
        opening_anew_against_the_last_finish,
        room_against_finish,
        room_against_close,
        waiter_against_finish,
        callback_against_finish,
        futures_wait_against_cancel,
        a_wait_with_a_timeout_against_finish,
        limit_change_against_finish,
        lower_limit_against_finish,
        pause_against_start,
        submit_and_pause_against_a_worker,
        report_against_finish,
        iterating_against_finish,
        taking_one_against_iterating,
        leaving_against_iterating,
        close_against_iterating,
        room_against_iterating,
        stuck_against_finish,
    )
}
# What blocks can't be done on the thread of a loop.
BLOCKS = {
    "room_against_finish",
    "room_against_close",
    "futures_wait_against_cancel",
    "a_wait_with_a_timeout_against_finish",
}
PLAYS = [
    (scene, where, hearing)
    for scene in SCENES
    for where in STAGES
    for hearing in ("nobody", "sync", "async")
    if where != "home_loop" or scene not in BLOCKS
]


def play(
    scene: str, where: str, hearing: str, schedule: Schedule, *, at_lines: bool = False
) -> None:
    """Play one scene once."""
    with Baton(schedule, at_lines=at_lines) as baton:
        SCENES[scene](partial(STAGES[where], baton, hearing=hearing))


# Of each scene one play in the plain suite: with listeners, where there is more to go wrong.
FEW = [(scene, where, "sync") for scene, where, hearing in PLAYS if hearing == "async"]
# With so few places that all orders can be gone through.
SMALL = [
    ("cancel_against_start", "threads", "nobody"),
    ("submit_and_cancel_against_a_worker", "threads", "nobody"),
    ("two_cancels", "threads", "nobody"),
    ("lower_limit_against_finish", "threads", "nobody"),
    ("pause_against_start", "threads", "nobody"),
    ("submit_and_pause_against_a_worker", "threads", "nobody"),
]
# These take half a minute.
NOT_SO_SMALL = [
    ("callback_against_finish", "threads", "nobody"),
    ("futures_wait_against_cancel", "threads", "nobody"),
]
# With so few lines that two deviations among them can be gone through, in about a minute each.
FEW_LINES = [
    (scene, "threads", "nobody")
    for scene in (
        "cancel_against_start",
        "submit_and_cancel_against_a_worker",
        "two_cancels",
        "callback_against_finish",
        "lower_limit_against_finish",
        "pause_against_start",
        "submit_and_pause_against_a_worker",
        "report_against_finish",
    )
]
# What an async listener hears is several steps more, on threads and loops: thousands of schedules.
DEEP = [(scene, where, hearing) for scene, where, hearing in PLAYS if hearing != "async"]


@pytest.mark.parametrize(("scene", "where", "hearing"), FEW)
def test_one_deviation_from_the_plain_course(scene: str, where: str, hearing: str) -> None:
    explore(partial(play, scene, where, hearing), deviations=1, at_most=500)


@pytest.mark.parametrize(("scene", "where", "hearing"), SMALL)
def test_every_order_there_is(scene: str, where: str, hearing: str, figures: Figures) -> None:
    figures(explore(partial(play, scene, where, hearing), deviations=None, at_most=1_000))


@pytest.mark.proof
@pytest.mark.parametrize(("scene", "where", "hearing"), NOT_SO_SMALL)
def test_every_order_of_more(scene: str, where: str, hearing: str, figures: Figures) -> None:
    figures(explore(partial(play, scene, where, hearing), deviations=None, at_most=10_000))


@pytest.mark.proof
@pytest.mark.parametrize(("scene", "where", "hearing"), PLAYS)
def test_one_deviation_of_every_play(
    scene: str, where: str, hearing: str, figures: Figures
) -> None:
    figures(explore(partial(play, scene, where, hearing), deviations=1, at_most=1_000))


@pytest.mark.proof
@pytest.mark.parametrize(("scene", "where", "hearing"), DEEP)
def test_two_deviations(scene: str, where: str, hearing: str, figures: Figures) -> None:
    figures(explore(partial(play, scene, where, hearing), deviations=2, at_most=40_000))


@pytest.mark.proof
@pytest.mark.parametrize(("scene", "where", "hearing"), DEEP)
def test_one_deviation_at_any_line(scene: str, where: str, hearing: str, figures: Figures) -> None:
    run = partial(play, scene, where, hearing, at_lines=True)
    figures(explore(run, deviations=1, at_most=10_000))


@pytest.mark.proof
@pytest.mark.parametrize(("scene", "where", "hearing"), FEW_LINES)
def test_two_deviations_at_any_line(scene: str, where: str, hearing: str, figures: Figures) -> None:
    run = partial(play, scene, where, hearing, at_lines=True)
    figures(explore(run, deviations=2, at_most=20_000))


# What one of several threads may do next; `n` says which job it is about.
CALLS: dict[str, Callable[[Stage, int], object]] = {
    "submit": lambda stage, n: stage.try_to_submit([], is_held=n % 2 == 1),
    "open": lambda stage, n: stage.open(*stage.some(n)),
    "cancel": lambda stage, n: [job.cancel() for job in stage.some(n)],
    "report": lambda stage, n: stage.report(*stage.some(n)),
    "wait": lambda stage, n: stage.wait_for(*stage.some(n)),
    "call back": lambda stage, n: stage.call_back(*stage.some(n)),
    "limit": lambda stage, n: stage.set_limit(1 + n % 3),
    "pause": lambda stage, n: stage.runner.pause(),
    "resume": lambda stage, n: stage.runner.resume(),
    "close": lambda stage, n: stage.runner.shutdown(wait=False, cancel_futures=n == 3),
    "close soon": lambda stage, n: stage.runner.shutdown(wait=False, timeout=n),
    "enter": lambda stage, n: stage.runner.__enter__(),
}
SEQUENCES = st.lists(
    st.lists(st.tuples(st.sampled_from([*CALLS]), st.integers(0, 3)), min_size=1, max_size=4),
    min_size=2,
    max_size=3,
)


def anything(
    stage: Stage, sequences: list[list[tuple[str, int]]], *, time_passes: bool = False
) -> None:
    """Several threads call this and that, one after the other."""
    stage.hold()
    stage.together(
        *(
            partial(stage.in_sequence, [partial(CALLS[name], stage, n) for name, n in sequence])
            for sequence in sequences
        ),
        time_passes=time_passes,
    )
    stage.end()


WORLDS = st.fixed_dictionaries(
    {
        "hearing": st.sampled_from(["nobody", "sync", "async"]),
        "limit": st.integers(1, 3),
        "max_pending": st.sampled_from([None, None, 0, 1]),
        "when_full": st.sampled_from(["reject", "wait"]),
        "timeout": st.sampled_from([None, None, 5]),
        "stagger": st.sampled_from([None, None, 3]),
    }
)


@pytest.mark.parametrize(
    "examples",
    [pytest.param(60, id="some"), pytest.param(2_000, id="many", marks=pytest.mark.proof)],
)
@pytest.mark.parametrize("where", STAGES)
def test_whatever_several_threads_call(where: str, examples: int, figures: Figures) -> None:
    points = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=[*HealthCheck])
    @given(WORLDS, SEQUENCES, plans(gap=150, most=8), st.booleans())
    def holds(
        world: dict[str, Any],
        sequences: list[list[tuple[str, int]]],
        plan: Plan,
        time_passes: bool,
    ) -> None:
        nonlocal points
        with Baton(Schedule(plan), at_lines=True) as baton:
            anything(STAGES[where](baton, **world), sequences, time_passes=time_passes)
        points += baton.points

    holds()
    figures(f"{examples} programs under an order each, {points} points in all")


def test_what_a_run_has_left_is_free_for_a_later_thread_with_the_number_of_one_of_its_own() -> None:
    with Baton(Schedule({})) as baton:
        lock = Lock(baton, is_reentrant=False)
        numbers: list[int] = []

        def take() -> None:
            with lock:
                numbers.append(threading.get_ident())

        baton.together(take)
    for _ in range(1_000):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        if numbers[-1] == numbers[0]:
            return
    pytest.skip("no thread was given a number again")
