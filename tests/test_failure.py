"""An exception as text: complete, plain, made once; and nothing that a body raises escapes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import gc
import json
import logging
import pickle
import re
import traceback
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from boundedjobs import BoundedRunner, Failure, Job, JobStatus
from boundedjobs._failure import attempt, call, capture
from tests.gates import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ME = re.escape(__file__)


def caught(fn: Callable[..., object], *args: Any) -> BaseException:
    """What `fn` raises, caught as the runner does."""
    _, exc = call(fn, args, {})
    assert exc is not None
    return exc


def failure_of(exc: BaseException) -> Failure:
    """`exc`, raised by a body, as a `Failure`."""
    return capture(caught(raiser, exc), "call")


def raiser(exc: BaseException) -> NoReturn:
    raise exc


async def araiser(exc: BaseException) -> NoReturn:
    raise exc


BODIES: dict[str, Callable[[BaseException], object]] = {
    "thread": raiser,
    "loop": araiser,
    "awaitable": lambda exc: araiser(exc),
}


# --- the text ---


def test_a_failure_tells_type_message_phase_place_and_traceback() -> None:
    failure = failure_of(ValueError("no such thing"))
    assert failure.type == "ValueError"
    assert failure.message == "no such thing"
    assert failure.phase == "call"
    assert re.fullmatch(rf"{ME}:\d+ in raiser", failure.location)
    assert re.fullmatch(
        rf"""Traceback \(most recent call last\):
  File "{ME}", line \d+, in raiser
    raise exc
ValueError: no such thing
""",
        failure.traceback,
    )


def test_the_location_is_the_innermost_frame_with_its_qualified_name() -> None:
    class Deep:
        def method(self) -> NoReturn:
            raise KeyError("deep")

    failure = capture(caught(lambda: Deep().method()), "call")
    name = re.escape("test_the_location_is_the_innermost_frame_with_its_qualified_name")
    assert re.fullmatch(rf"{ME}:\d+ in {name}\.<locals>\.Deep\.method", failure.location)


def test_the_type_carries_its_module_unless_it_is_built_in() -> None:
    class Inner(Exception):
        pass

    assert failure_of(LookupError()).type == "LookupError"
    assert failure_of(json.JSONDecodeError("m", "d", 0)).type == "json.decoder.JSONDecodeError"
    assert failure_of(Inner()).type == f"{__name__}.{Inner.__qualname__}"


def test_a_failure_without_a_frame_has_no_location() -> None:
    failure = capture(ValueError("never raised"), "admission")
    assert failure == Failure(
        "ValueError", "never raised", "admission", "", "ValueError: never raised\n"
    )


def test_an_explicit_cause_and_its_traceback_are_told() -> None:
    def body() -> NoReturn:
        try:
            raise KeyError("first")
        except KeyError as exc:
            raise ValueError("second") from exc

    text = capture(caught(body), "call").traceback
    order = ["KeyError: 'first'", "was the direct cause of the following", "ValueError: second"]
    assert re.search(".*".join(map(re.escape, order)), text, re.DOTALL)
    assert text.count("in body") == 2


def test_an_implicit_context_is_told() -> None:
    def body() -> NoReturn:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904 - the implicit context is the point

    text = capture(caught(body), "call").traceback
    order = ["KeyError: 'first'", "During handling of the above exception", "ValueError: second"]
    assert re.search(".*".join(map(re.escape, order)), text, re.DOTALL)


def test_a_context_that_was_suppressed_stays_so() -> None:
    def body() -> NoReturn:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None

    assert "first" not in capture(caught(body), "call").traceback


def test_a_chain_of_a_thousand_causes_is_told_to_its_end() -> None:
    exc: BaseException = ValueError("number 0")
    for number in range(1, 1000):
        following = ValueError(f"number {number}")
        following.__cause__ = exc
        exc = following
    failure = failure_of(exc)
    assert failure.message == "number 999"
    assert failure.traceback.count("direct cause") == 999
    assert "ValueError: number 0\n" in failure.traceback


def test_a_cycle_of_causes_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    failure = failure_of(one)
    assert failure.message == "one"
    assert "ValueError: two\n" in failure.traceback
    assert failure.traceback.endswith("ValueError: one\n")


def test_notes_are_told() -> None:
    exc = ValueError("noted")
    exc.add_note("while reading row 7")
    exc.add_note("of two\nlines")
    failure = failure_of(exc)
    assert failure.message == "noted"
    assert failure.traceback.endswith("ValueError: noted\nwhile reading row 7\nof two\nlines\n")


@pytest.mark.parametrize("count", [15, 16, 100])
def test_every_member_of_a_group_is_told(count: int) -> None:
    group = ExceptionGroup("many", [ValueError(f"member {n}.") for n in range(count)])
    text = failure_of(group).traceback
    assert [n for n in range(count) if f"ValueError: member {n}.\n" not in text] == []
    assert "and 1 more exception" not in text


def test_a_group_within_groups_is_told_to_its_depth() -> None:
    exc: Exception = ValueError("at the bottom")
    for depth in range(20):
        exc = ExceptionGroup(f"depth {depth}", [exc])
    text = failure_of(exc).traceback
    assert "ValueError: at the bottom\n" in text
    assert "max_group_depth" not in text


def test_a_syntax_error_shows_its_line() -> None:
    text = capture(caught(compile, "a b c", "given.py", "exec"), "call").traceback
    assert 'File "given.py", line 1\n    a b c\n' in text


def test_a_recursion_without_end_is_told() -> None:
    def body() -> None:
        body()

    failure = capture(caught(body), "call")
    assert failure.type == "RecursionError"
    assert "Previous line repeated" in failure.traceback


# --- frames of our own ---


@pytest.mark.parametrize("kind", ["thread", "loop", "awaitable"])
def test_the_runner_s_own_frames_are_not_in_the_traceback(kind: str) -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(BODIES[kind], ValueError("x"))
        job.exception(TIMEOUT)
    assert job.failure is not None
    frames = re.findall(r"in (\w+)\n", job.failure.traceback)
    assert frames == ["raiser" if kind == "thread" else "araiser"]


def test_our_own_frames_are_not_in_the_traceback_of_a_cause_either() -> None:
    async def body() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> Job[None]:
        job = runner.submit(body)
        while job.ran is None:
            await asyncio.sleep(0)
        return job

    runner = BoundedRunner(1)
    job = asyncio.run(main())  # which cancels it
    runner.shutdown()
    assert job.failure is not None
    assert job.failure.phase == "loop"
    frames = re.findall(r", in (?:[\w<>]+\.)*(\w+)\n", job.failure.traceback)
    assert frames == ["body"]


@pytest.mark.parametrize("how", ["cause", "context", "member"])
def test_our_own_outer_frames_are_cut_wherever_an_exception_is_told(how: str) -> None:
    def body() -> None:
        inner = caught(raiser, ValueError("x"))
        assert len(traceback.extract_tb(inner.__traceback__)) == 2  # as it was caught by us
        if how == "cause":
            raise KeyError from inner
        if how == "member":
            raise BaseExceptionGroup("several", [inner])
        error = KeyError()
        error.__context__ = inner
        raise error

    frames = re.findall(r", in (?:[\w<>]+\.)*(\w+)\n", capture(caught(body), "call").traceback)
    assert sorted(frames) == ["body", "raiser"]


def test_only_the_outer_frames_are_cut() -> None:
    # Inside the body it is the reader's business who raised, even if it was us.
    with BoundedRunner(1) as inner, BoundedRunner(1) as outer:
        failed = inner.submit(raiser, ValueError("x"))
        failed.exception(TIMEOUT)

        def body() -> None:
            failed.result(TIMEOUT)

        job = outer.submit(body)
        job.exception(TIMEOUT)
        assert job.failure is not None
        frames = re.findall(r", in (?:[\w<>]+\.)*(\w+)\n", job.failure.traceback)
        assert frames == ["body", "result", "raiser"]


def test_the_exception_itself_has_lost_our_frames() -> None:
    with BoundedRunner(1) as runner:
        exc = runner.submit(raiser, ValueError("x")).exception(TIMEOUT)
    assert exc is not None
    assert exc.__traceback__ is not None
    assert exc.__traceback__.tb_frame.f_code is raiser.__code__
    assert exc.__traceback__.tb_next is None


def test_a_c_function_that_raises_has_no_frame_and_no_location_of_ours() -> None:
    with BoundedRunner(1) as runner:
        job = runner.submit(int, "seven")
        job.exception(TIMEOUT)
    message = "invalid literal for int() with base 10: 'seven'"
    assert job.failure == Failure("ValueError", message, "call", "", f"ValueError: {message}\n")


def test_wrong_arguments_fail_the_job_and_name_the_function() -> None:
    def body(one: int) -> int:
        return one

    with BoundedRunner(1) as runner:
        job: Any = runner.submit(body, 1, 2)  # type: ignore[call-overload]  # the point
        job.exception(TIMEOUT)
    assert job.status is JobStatus.FAILED
    message = f"{body.__qualname__}() takes 1 positional argument but 2 were given"
    assert job.failure == Failure("TypeError", message, "call", "", f"TypeError: {message}\n")


# --- what can't be shown ---


class BrokenStr(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")


class BrokenRepr(Exception):
    def __repr__(self) -> str:
        raise SystemExit("from __repr__")


class BrokenNotes(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # the point
        raise RuntimeError("from __notes__")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """As many are written; Python itself sets their traceback without asking them."""

    code: int


class Unassignable(Exception):
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise RuntimeError("from __setattr__")


class BrokenClass(Exception):
    @property
    def __class__(self) -> Any:  # as proxies have it
        raise RuntimeError("from __class__")

    @__class__.setter
    def __class__(self, value: object) -> None: ...


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Empty(Exception):
    def __len__(self) -> int:
        return 0


class BrokenBool(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("from __bool__")


class BrokenEq(Exception):
    __hash__ = None  # type: ignore[assignment]  # the point

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("from __eq__")


class BrokenGetattr(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("from __getattribute__")


class BrokenMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__"):
            raise RuntimeError(f"from {name}")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=BrokenMeta):
    pass


def test_a_broken_str_is_said_so_and_the_rest_is_told() -> None:
    failure = failure_of(BrokenStr())
    assert failure.type == f"{__name__}.BrokenStr"
    assert failure.message == "<exception str() failed>"
    assert "in raiser" in failure.traceback


def test_a_broken_repr_is_not_asked_for() -> None:
    assert failure_of(BrokenRepr("told")).message == "told"


@pytest.mark.parametrize("broken", [BrokenNotes, BrokenGetattr])
def test_what_is_known_is_told_when_the_exception_can_not_be_shown(broken: type[Exception]) -> None:
    failure = failure_of(broken("told"))
    assert failure.type == f"{__name__}.{broken.__qualname__}"
    assert re.fullmatch(rf"{ME}:\d+ in raiser", failure.location)
    assert re.match(
        rf'Traceback \(most recent call last\):\n  File "{ME}", line \d+, in raiser\n',
        failure.traceback,
    )


@pytest.mark.parametrize("unassignable", [Frozen, Unassignable])
def test_an_exception_that_takes_no_attributes_is_told_in_full(unassignable: Any) -> None:
    exc = unassignable(7)
    failure = failure_of(exc)
    assert failure.message == str(exc)
    assert re.fullmatch(rf"{ME}:\d+ in raiser", failure.location)
    assert "in raiser" in failure.traceback


def test_an_exception_whose_class_has_no_name_is_told() -> None:
    failure = failure_of(Nameless("told"))
    assert "<could not be shown: RuntimeError>" in failure.message
    assert {type(value) for value in dataclasses.astuple(failure)} == {str}


def test_a_message_is_a_plain_string_even_if_the_exception_gives_another() -> None:
    class Text(str):
        __slots__ = ("owner",)

        def __str__(self) -> str:
            return self

    failure = failure_of(ValueError(Text("told")))
    assert type(failure.message) is str
    assert failure.message == "told"


def test_a_failure_can_be_written_as_utf8_whatever_the_message_holds() -> None:
    # A file name that is no UTF-8, as os.fsdecode gives it.
    failure = failure_of(ValueError("no such file: caf\udce9"))
    assert failure.message.encode() == b"no such file: caf\\udce9"
    assert b"caf\\udce9" in failure.traceback.encode()


# --- a value ---


def test_a_failure_is_frozen() -> None:
    failure = failure_of(ValueError())
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"^cannot assign to field 'type'$"):
        failure.type = "other"  # type: ignore[misc]  # the point
    with pytest.raises(AttributeError):  # nor has it room for more
        object.__setattr__(failure, "more", 1)


def test_a_failure_goes_through_json_and_pickle_and_comes_back_equal() -> None:
    failure = failure_of(ExceptionGroup("ü \0 \n", [ValueError(b"\xff", object())]))
    assert Failure(**json.loads(json.dumps(dataclasses.asdict(failure)))) == failure
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_a_failure_keeps_neither_the_exception_nor_its_frames_alive() -> None:
    class Local:
        pass

    class Own(Exception):
        pass

    watched: list[weakref.ref[Any]] = []

    def body() -> NoReturn:
        local, exc = Local(), Own("x")
        watched.extend([weakref.ref(local), weakref.ref(exc)])
        raise exc

    with BoundedRunner(1) as runner:
        failure = runner.submit(body).failure
        runner.submit(int).result(TIMEOUT)
    gc.collect()
    assert [ref() for ref in watched] == [None, None]
    assert failure is None or failure.message == "x"


def test_the_log_record_of_a_failure_keeps_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    with BoundedRunner(1) as runner:
        runner.submit(raiser, ValueError("x")).exception(TIMEOUT)
    (record,) = caplog.records
    assert record.exc_info is None
    assert {type(arg) for arg in record.args or ()} <= {str, JobStatus}


# --- whatever is raised, the job ends and the runner goes on ---

SHAPES: dict[str, Callable[[], BaseException]] = {
    "plain": lambda: ValueError("plain"),
    "StopIteration": lambda: StopIteration("value"),
    "StopAsyncIteration": lambda: StopAsyncIteration("value"),
    "GeneratorExit": lambda: GeneratorExit("exit"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "BaseException": lambda: BaseException("base"),
    "MemoryError": MemoryError,
    "TimeoutError": TimeoutError,
    "group": lambda: ExceptionGroup("group", [ValueError("one"), TypeError("two")]),
    "base group": lambda: BaseExceptionGroup("group", [SystemExit(1), KeyboardInterrupt()]),
    "asyncio's CancelledError": lambda: asyncio.CancelledError("own"),
    "futures' CancelledError": lambda: concurrent.futures.CancelledError("own"),
    "BrokenStr": BrokenStr,
    "BrokenRepr": BrokenRepr,
    "BrokenNotes": BrokenNotes,
    "BrokenGetattr": BrokenGetattr,
    "BrokenClass": BrokenClass,
    "BrokenBool": BrokenBool,
    "BrokenEq": BrokenEq,
    "Frozen": lambda: Frozen(1),
    "Unassignable": Unassignable,
    "Nameless": Nameless,
    "Falsy": Falsy,
    "Empty": Empty,
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Callable[[], BaseException]:
    return SHAPES[request.param]


def test_whatever_a_body_raises_fails_its_job_once_in_the_log_and_no_other(
    shape: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    with BoundedRunner(1, drain_timeout=1) as runner:
        for body in BODIES.values():
            caplog.clear()
            job = runner.submit(body, raised := shape())
            exc = job.exception(TIMEOUT)
            if type(raised) is StopIteration and body is not raiser:
                assert str(exc) == "coroutine raised StopIteration"  # Python's own rule
            else:
                assert exc is raised
            assert job.status is JobStatus.FAILED
            assert job.failure is not None
            assert job.failure.phase == "call"
            errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
            assert [r.name for r in errors] == ["boundedjobs"]
            assert job.failure.traceback in errors[0].getMessage()
            assert job.id in errors[0].getMessage()
        assert runner.submit(int, "7").result(TIMEOUT) == 7


def test_whatever_a_body_raises_is_what_result_raises(
    shape: Callable[[], BaseException],
) -> None:
    with BoundedRunner(1, drain_timeout=1) as runner:
        job = runner.submit(raiser, shape())
        for _ in range(2):
            _, exc = call(job.result, (TIMEOUT,), {})
            assert exc is job.exception(TIMEOUT)
            assert exc is not None


def test_raising_what_is_no_exception_fails_the_job() -> None:
    def body() -> NoReturn:
        raise 7  # type: ignore[misc]  # noqa: B016 - the point

    with BoundedRunner(1) as runner:
        job = runner.submit(body)
        assert str(job.exception(TIMEOUT)) == "exceptions must derive from BaseException"


def test_a_missing_import_within_a_body_is_told_with_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def process_job(_job_id: str) -> None:
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401 - the point

    with BoundedRunner(1, name="content") as runner:
        job = runner.submit(process_job, "7")
        job.exception(TIMEOUT)
    failure = job.failure
    assert failure is not None
    assert failure.type == "ModuleNotFoundError"
    assert failure.message == "No module named 'no_such_module_anywhere'"
    assert "    import no_such_module_anywhere" in failure.traceback
    (record,) = caplog.records
    assert record.getMessage() == (
        f"job {job.name!r} ({job.id}) failed at {failure.location}: ModuleNotFoundError: "
        f"No module named 'no_such_module_anywhere'\n{failure.traceback}"
    )


def test_the_traceback_is_formatted_when_it_is_caught() -> None:
    # A listener may read it later, when the file has changed or the exception has been noted on.
    exc = ValueError("x")
    with BoundedRunner(1) as runner:
        job = runner.submit(raiser, exc)
        job.exception(TIMEOUT)
    before = job.failure
    exc.add_note("later")
    assert job.failure is before
    assert before is not None
    assert "later" not in before.traceback


class BrokenResultMeta(type):
    def __getattr__(cls, name: str) -> NoReturn:
        raise RuntimeError(f"from the metaclass: {name}")


class OddResult(metaclass=BrokenResultMeta):
    """What can't be asked whether it is an awaitable."""


class ClasslessAwaitable:
    """An awaitable that can't be asked for its class, as an unbound proxy can't."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("from __class__")

    @__class__.setter
    def __class__(self, value: object) -> None: ...

    def __await__(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize("made", [OddResult, ClasslessAwaitable])
def test_a_result_that_answers_no_question_does_not_hang_the_job(made: type) -> None:
    with BoundedRunner(1, drain_timeout=1) as runner:
        job = runner.submit(lambda: made())
        job.exception(TIMEOUT)
        assert job.status.is_final
        assert runner.submit(int, "7").result(TIMEOUT) == 7


def test_a_result_whose_type_answers_no_question_is_a_plain_result() -> None:
    with BoundedRunner(1, drain_timeout=1) as runner:
        assert isinstance(runner.submit(lambda: OddResult()).result(TIMEOUT), OddResult)


def test_capture_never_raises_even_when_nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise SystemExit("from the formatter")

    monkeypatch.setattr("boundedjobs._failure.TracebackException", broken)
    failure = failure_of(ValueError("x"))
    assert failure.type == "ValueError"
    assert failure.message == "<could not be shown: SystemExit>"


# Calls that may fail


def test_a_ctrl_c_that_has_become_an_error_is_raised_as_what_it_was() -> None:
    def start() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    with pytest.raises(KeyboardInterrupt):
        attempt(start)


def test_what_fails_while_a_ctrl_c_is_handled_is_no_ctrl_c() -> None:
    error = RuntimeError("can't start new thread")

    def start() -> None:
        raise error

    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert attempt(start) is error


def test_an_error_whose_context_is_an_error_is_what_has_failed() -> None:
    error = RuntimeError("can't start new thread")

    def start() -> None:
        try:
            raise ValueError
        finally:
            raise error

    assert attempt(start) is error
