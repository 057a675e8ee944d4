"""Every error a client may be told.

    TalksyError
    ├── ValidationError         VALIDATION_ERROR       400
    │   └── UnknownEvent        UNKNOWN_EVENT          400
    ├── Unauthenticated         UNAUTHENTICATED        401
    │   ├── InvalidCredentials  INVALID_CREDENTIALS    401
    │   └── TokenExpired        TOKEN_EXPIRED          401
    ├── Forbidden               FORBIDDEN              403
    │   ├── OriginDenied        ORIGIN_DENIED          403
    │   └── ToolDenied          TOOL_DENIED            403
    ├── NotFound                NOT_FOUND              404
    │   ├── SessionNotFound     SESSION_NOT_FOUND      404
    │   ├── TurnNotFound        TURN_NOT_FOUND         404
    │   └── ToolNotFound        TOOL_NOT_FOUND         404
    ├── MethodNotAllowed        METHOD_NOT_ALLOWED     405
    ├── Conflict
    │   ├── EmailTaken          EMAIL_TAKEN            409
    │   ├── TurnInProgress      TURN_IN_PROGRESS       409
    │   └── IdempotencyConflict IDEMPOTENCY_CONFLICT   409
    ├── SessionExpired          SESSION_EXPIRED        410
    ├── ApprovalExpired         APPROVAL_EXPIRED       410
    ├── PayloadTooLarge         PAYLOAD_TOO_LARGE      413
    ├── ToolFailed              TOOL_FAILED            502
    ├── ToolTimeout             TOOL_TIMEOUT           504
    ├── TryLater (retryable)
    │   ├── RateLimited         RATE_LIMITED           429
    │   ├── SessionLimit        SESSION_LIMIT          429
    │   ├── TurnQueueFull       TURN_QUEUE_FULL        429
    │   ├── ToolBusy            TOOL_BUSY              429
    │   ├── MicBusy             MIC_BUSY               429
    │   ├── SlowConsumer        SLOW_CONSUMER          503
    │   ├── Overloaded          OVERLOADED             503
    │   ├── ServerDraining      SERVER_DRAINING        503
    │   └── ProviderFault
    │       ├── ProviderUnavailable PROVIDER_UNAVAILABLE 503
    │       └── ProviderTimeout     PROVIDER_TIMEOUT     504
    └── InternalError           INTERNAL_ERROR         500

A class's docstring is its default message; a message says what to change. The codes are the same
for REST and for sockets.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, Literal

Cause = Literal["timeout", "rate_limited", "auth", "not_found", "invalid", "unavailable", "broken"]
"""Why a provider failed. ``auth``: it does not let us in, or lets us have nothing more.
``not_found``: it has no such model. ``invalid``: it refused this one request. ``broken``: it does
not speak its protocol, or is not who it should be."""


def whole_seconds(seconds: float) -> int:
    """As clients are told to wait: rounded up, a second at least."""
    return max(1, ceil(seconds))


class TalksyError(Exception):
    """Something went wrong."""

    code: ClassVar[str]
    status: ClassVar[int]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        faults: Sequence[tuple[str, str]] = (),
        retry_after: float | None = None,
    ) -> None:
        """``faults`` are (path, message) pairs; ``retry_after`` is in seconds."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.faults = tuple(faults)
        self.retry_after = retry_after
        super().__init__(self.message)

    def payload(self) -> dict[str, Any]:
        """The error as a client sees it: ``{code, message, errors?, retryAfter?}``."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.faults:
            body["errors"] = [{"path": path, "message": message} for path, message in self.faults]
        if self.retry_after is not None:
            body["retryAfter"] = whole_seconds(self.retry_after)
        return body


class ValidationError(TalksyError):
    """The request does not have the form it should have."""

    code = "VALIDATION_ERROR"
    status = 400


class UnknownEvent(ValidationError):
    """There is no such event."""

    code = "UNKNOWN_EVENT"


class Unauthenticated(TalksyError):
    """Log in and send the access token."""

    code = "UNAUTHENTICATED"
    status = 401


class InvalidCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""

    code = "INVALID_CREDENTIALS"


class TokenExpired(Unauthenticated):
    """The access token has run out: refresh it."""

    code = "TOKEN_EXPIRED"


class Forbidden(TalksyError):
    """This is not yours to do."""

    code = "FORBIDDEN"
    status = 403


class OriginDenied(Forbidden):
    """Pages of this origin may not connect: add it to CORS_ORIGIN."""

    code = "ORIGIN_DENIED"


class ToolDenied(Forbidden):
    """This tool may not be used here."""

    code = "TOOL_DENIED"


class NotFound(TalksyError):
    """There is nothing here."""

    code = "NOT_FOUND"
    status = 404


class SessionNotFound(NotFound):
    """There is no such session."""

    code = "SESSION_NOT_FOUND"


class TurnNotFound(NotFound):
    """There is no such turn in this session."""

    code = "TURN_NOT_FOUND"


class ToolNotFound(NotFound):
    """There is no such tool."""

    code = "TOOL_NOT_FOUND"


class MethodNotAllowed(TalksyError):
    """This path does not take this method."""

    code = "METHOD_NOT_ALLOWED"
    status = 405


class Conflict(TalksyError):
    """This does not go together with what there is."""

    status = 409


class EmailTaken(Conflict):
    """An account with this e-mail address exists: log in instead."""

    code = "EMAIL_TAKEN"


class TurnInProgress(Conflict):
    """A turn is running: wait for its end, cancel it, or send with onBusy "queue"."""

    code = "TURN_IN_PROGRESS"
    retryable = True


class IdempotencyConflict(Conflict):
    """This messageId was used for another text: choose a new one."""

    code = "IDEMPOTENCY_CONFLICT"


class SessionExpired(TalksyError):
    """The session has ended: connect anew, or reopen it with open: true."""

    code = "SESSION_EXPIRED"
    status = 410


class ApprovalExpired(TalksyError):
    """Nobody approved the call in time."""

    code = "APPROVAL_EXPIRED"
    status = 410


class PayloadTooLarge(TalksyError):
    """This is longer than is allowed."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class ToolFailed(TalksyError):
    """The tool failed."""

    code = "TOOL_FAILED"
    status = 502


class ToolTimeout(TalksyError):
    """The tool took too long."""

    code = "TOOL_TIMEOUT"
    status = 504


class TryLater(TalksyError):
    """Try again later."""

    retryable = True


class RateLimited(TryLater):
    """Too many requests: wait until the window has room again."""

    code = "RATE_LIMITED"
    status = 429


class SessionLimit(TryLater):
    """Too many connections or sessions: close one first."""

    code = "SESSION_LIMIT"
    status = 429


class TurnQueueFull(TryLater):
    """Too many messages wait in this session: wait for an answer first."""

    code = "TURN_QUEUE_FULL"
    status = 429


class ToolBusy(TryLater):
    """Too many tools run at once: wait for one to end."""

    code = "TOOL_BUSY"
    status = 429


class MicBusy(TryLater):
    """Another device of this session has the microphone: stop it there first."""

    code = "MIC_BUSY"
    status = 429


class SlowConsumer(TryLater):
    """This connection does not read what it is sent: reconnect and resume."""

    code = "SLOW_CONSUMER"
    status = 503


class Overloaded(TryLater):
    """The server is busy: try again in a moment."""

    code = "OVERLOADED"
    status = 503


class ServerDraining(TryLater):
    """This server is about to stop: reconnect."""

    code = "SERVER_DRAINING"
    status = 503


class ProviderFault(TryLater):
    """The model provider failed: try again.

    ``cause`` and ``hint``, a line for the operator, are for this side of the wire: a client is told
    neither.
    """

    usual_cause: ClassVar[Cause] = "unavailable"

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        cause: Cause | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.cause: Cause = cause or self.usual_cause
        self.hint = hint


class ProviderUnavailable(ProviderFault):
    """The model provider did not answer: try again."""

    code = "PROVIDER_UNAVAILABLE"
    status = 503


class ProviderTimeout(ProviderFault):
    """The model provider took too long: try again."""

    code = "PROVIDER_TIMEOUT"
    status = 504
    usual_cause = "timeout"


class InternalError(TalksyError):
    """Something went wrong here; the log has more under this requestId."""

    code = "INTERNAL_ERROR"
    status = 500

    def __init__(self, request_id: str) -> None:
        super().__init__()
        self.request_id = request_id

    def payload(self) -> dict[str, Any]:
        return {**super().payload(), "requestId": self.request_id}


def error_payload(error: TalksyError, **more: Any) -> Mapping[str, Any]:
    """An error with what else is known of it, such as ``turnId``; None values are left out."""
    return {**error.payload(), **{key: value for key, value in more.items() if value is not None}}
