"""What can go wrong in the service, named by what the caller must do about it.

ServiceError                     root; its text is one readable line without an applicant's value
├── Misconfigured                stop the start: a setting, a file or a permission must be mended
│   ├── KeyStoreBroken           the key file cannot be read or does not hold what it should
│   └── ModelRefused             the packed model is damaged, incomplete or does not answer as it did when packed
├── SignatureRefused             an approval is not signed by who may, or about something else
├── KeyRefused                   the key tool cannot do what was asked (third live key, unknown id, bad date)
├── DatabaseAway                 PostgreSQL cannot be used now: whoever asked says what that means for a request
├── OutboxFull                   no room or no disk for another durable record: answer 503, never drop
├── AnswerNotFound               no such prediction of this partner
├── AnswerAway                   the bucket that may hold the answer does not answer: answer 503
├── JobsAway                     a job can be neither kept nor read now: answer 503
├── JobEnded                     the job ended meanwhile, by its partner or on another worker: nothing of it is run
├── IdempotencyRunning           the first request of this Idempotency-Key is still running: answer 409
├── IdempotencyMismatch          the key was used with another body: answer 422
└── ProblemError                 an answer that is not a 2xx, ready to be sent (see `service.problems`)
"""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.problems import Problem


class ServiceError(Exception):
    """Root of everything this package raises on purpose."""


class Misconfigured(ServiceError):
    """The service must not start: the text says which setting or file to mend."""


class KeyStoreBroken(Misconfigured):
    """The key file cannot be used; a running service keeps its last good set."""


class ModelRefused(Misconfigured):
    """The packed model is not the one that was approved; nothing may be served from it."""


class SignatureRefused(ServiceError):
    """An approval is not signed by a reviewer on the list, or what was signed is something else."""


class KeyRefused(ServiceError):
    """The key tool refuses the change; the text says why."""


class DatabaseAway(ServiceError):
    """PostgreSQL refuses, or does not answer, and it is not known whether it did what was asked; try again."""


class OutboxFull(ServiceError):
    """A record could not be made durable, so no answer may leave; try again after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AnswerNotFound(ServiceError):
    """There is no such prediction, or it belongs to somebody else: the two must look alike."""


class AnswerAway(ServiceError):
    """The bucket that may hold an older answer does not answer now; try again."""


class JobsAway(ServiceError):
    """Jobs can be neither kept nor read now, or another worker runs this one; try again."""


class JobEnded(ServiceError):
    """The job ended meanwhile, cancelled by its partner or run to its end elsewhere: nothing more is added to it."""


class IdempotencyRunning(ServiceError):
    """The first request with this Idempotency-Key has not finished."""


class IdempotencyMismatch(ServiceError):
    """This Idempotency-Key was first used with another body."""


class ProblemError(ServiceError):
    """Carries the problem to answer with out of the depths of a handler."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


def in_one_line(error: BaseException) -> str:
    """The kind of a failure that came from outside, its number, and where: never a request, a key, a path or a header.

    The number is the operating system's, or what a store called it; the place is the last line of ours and the last.
    """
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    numbers = [one.errno for one in _chain(error) if isinstance(one, OSError) and one.errno]
    number = f"{errno.errorcode.get(numbers[0], 'errno')} ({numbers[0]}: {os.strerror(numbers[0])})" if numbers else ""
    label = " ".join(part for part in (type(error).__name__, code, number) if part)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{__package__}/" in frame.filename]
    places = dict.fromkeys(_place(frame) for frame in (*ours[-1:], *frames[-1:]))
    return f"{label} at {', '.join(places)}" if places else label


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, nearest first."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def _place(frame: traceback.FrameSummary) -> str:
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"
