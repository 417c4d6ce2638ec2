"""Everything that can go wrong, drawn once; every branch says whose move it is.

    KrixikError
    ├── InvalidArgument (ValueError)        the caller's: nothing was sent
    ├── InvalidArgumentType (TypeError)     the caller's: nothing was sent
    ├── ClientClosed (RuntimeError)         the caller's: the client is closed
    ├── MissingExtra (ImportError)          the caller's: an optional package is not installed
    ├── FileChanged                         the caller's: the file changed as it was sent, or since
    ├── SaveFailed                          the machine's: an output could not be written to disk
    ├── JournalError                        the machine's: a journal could not be read or written
    │   ├── JournalMismatch                 the caller's: it is of something else; left as it was
    │   └── JournalDamaged                  the disk's: it cannot be trusted; left as it was
    ├── ServiceError                        the service's: it answered, and the answer is no
    │   ├── AuthenticationError             the api key was rejected; nothing else will work either
    │   ├── RequestRejected                 it understood and refused
    │   │   ├── RequestNotFound             no process of that request_id is on record
    │   │   ├── FileRecordNotFound          no file of that file_id is on record
    │   │   └── NotFinished                 the file is still being processed
    │   ├── RateLimited                     too many requests (429, 503 with Retry-After)
    │   ├── ServerError                     it broke (5xx)
    │   ├── UploadRejected                  the upload host refused the form
    │   ├── DownloadRejected                the download host refused the link
    │   └── UnexpectedReply                 not of this protocol (a proxy, a wrong api_url)
    ├── TransportError                      nobody's: no answer arrived
    │   ├── ConnectFailed                   nothing was sent
    │   ├── UploadInterrupted               the body did not get through: repeating is safe
    │   ├── AnswerLost                      sent, not answered: it may or may not have been done
    │   ├── DownloadInterrupted             an output stopped short; repeating goes on from there
    │   └── SubmitUncertain                 it cannot be told whether the file was taken
    └── JobError                            the job's fate, where one job was asked for
        ├── ProcessFailed                   a module failed
        ├── RequestVanished                 expired, deleted or never there
        ├── WaitTimeout                     still running; goes on running
        └── JobsFailed                      `WaitResult.raise_for_failures()`

Every class keeps the ids it was raised with, so that a log line is enough to find the job again.
Messages carry ids, never keys, presigned fields or document text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krixik_async._models import JobOutcome, JobRef
    from krixik_async._reply import Reply


class KrixikError(Exception):
    """Be the one root of all errors this package raises.

    `request_id` is the id of the process for job-related errors and of the refused call
    otherwise; `elapsed_s` is seconds over all attempts; `reply` is the raw answer, if one came.
    Whatever is not known is None. Instances can be pickled.
    """

    message: str
    request_id: str | None
    file_id: str | None
    pipeline: str | None
    endpoint: str | None
    attempts: int | None
    elapsed_s: float | None
    reply: Reply | None

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        file_id: str | None = None,
        pipeline: str | None = None,
        endpoint: str | None = None,
        attempts: int | None = None,
        elapsed_s: float | None = None,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.file_id = file_id
        self.pipeline = pipeline
        self.endpoint = endpoint
        self.attempts = attempts
        self.elapsed_s = elapsed_s
        self.reply = reply

    @property
    def status_code(self) -> int | None:
        """Give the HTTP status of the raw answer, or None if no answer came."""
        return None if self.reply is None else self.reply.status_code

    def fill(
        self,
        *,
        request_id: str | None = None,
        file_id: str | None = None,
        pipeline: str | None = None,
        endpoint: str | None = None,
        attempts: int | None = None,
        elapsed_s: float | None = None,
    ) -> None:
        """Add the ids that an outer layer knows; what is already set stays."""
        self.request_id = self.request_id if self.request_id is not None else request_id
        self.file_id = self.file_id if self.file_id is not None else file_id
        self.pipeline = self.pipeline if self.pipeline is not None else pipeline
        self.endpoint = self.endpoint if self.endpoint is not None else endpoint
        self.attempts = self.attempts if self.attempts is not None else attempts
        self.elapsed_s = self.elapsed_s if self.elapsed_s is not None else elapsed_s


class InvalidArgument(KrixikError, ValueError):
    """Refuse a value before anything is sent: says what was given, what is allowed, what to do."""


class InvalidArgumentType(KrixikError, TypeError):
    """Refuse a value of the wrong type before anything is sent."""


class ClientClosed(KrixikError, RuntimeError):
    """Refuse a call on a client that has been closed."""


class MissingExtra(KrixikError, ImportError):
    """Say which optional package is missing and the command that installs it."""


class FileChanged(KrixikError):
    """Report that a file changed while it was being sent, or since a journal noted it."""


class SaveFailed(KrixikError):
    """Report that an output could not be written: disk full, no permission, ..."""


class JournalError(KrixikError):
    """Report that a journal could not be read or written: disk full, locked, read-only, ...

    The journal is as it was before. Once that is mended, the same call goes on where it stopped.
    """


class JournalMismatch(JournalError):
    """Refuse a journal of another pipeline, account or release, or a file that is not a journal."""


class JournalDamaged(JournalError):
    """Refuse a journal whose contents cannot be trusted; it was not changed."""


class ServiceError(KrixikError):
    """Be the root of answers that say no."""


class AuthenticationError(ServiceError):
    """Report that the service rejected the api key (401, or 403 twice in a row).

    Raised from whichever call meets it first. Out of a wait, `partial` holds the `WaitResult`
    reached so far; the jobs themselves go on.
    """

    partial: object | None = None


class RequestRejected(ServiceError):
    """Report that the service understood the call and refused it, in its own words."""


class RequestNotFound(RequestRejected):
    """Report that no process of this request_id is on record: wrong id, deleted or expired."""


class FileRecordNotFound(RequestRejected):
    """Report that no file of this file_id is on record: wrong id, deleted or expired."""


class NotFinished(RequestRejected):
    """Report that the file is still being processed, so this cannot be done with it yet."""


class RateLimited(ServiceError):
    """Report that the service kept asking for fewer requests until the attempts ran out."""


class ServerError(ServiceError):
    """Report that the service broke (5xx) until the attempts ran out."""


class UploadRejected(ServiceError):
    """Report that the upload host refused the form: ticket expired, too large or altered."""


class DownloadRejected(ServiceError):
    """Report that the download host refused the link: it has expired or was altered."""


class UnexpectedReply(ServiceError):
    """Report an answer that is not of this protocol: look for a proxy or a wrong api_url."""


class TransportError(KrixikError):
    """Be the root of calls to which no answer arrived."""


class ConnectFailed(TransportError):
    """Report that no connection could be made: nothing was sent, repeating is safe."""


class UploadInterrupted(TransportError):
    """Report an upload whose body demonstrably did not get through: repeating it is safe."""


class AnswerLost(TransportError):
    """Report that a call was sent but not answered: it may or may not have been carried out."""


class DownloadInterrupted(TransportError):
    """Report that the download of an output broke off.

    Nothing is left under the output's name. If the download can be resumed, what came is kept as
    `<name>.part`, for the next `fetch_output` into the same folder.
    """


class SubmitUncertain(TransportError):
    """Report that nobody can tell whether the service has the file.

    The message names the path and the time: look for the file with `list` before sending it again.
    """


class JobError(KrixikError):
    """Be the root of errors about one job's fate. `job` is its `JobRef`."""

    job: JobRef | None = None
    outcome: JobOutcome | None = None


class ProcessFailed(JobError):
    """Report that a module failed; `failure_module` names it ("module_1.parser"), if known."""

    failure_module: str | None = None


class RequestVanished(JobError):
    """Report that the record is gone: `outcome.state` tells expired, deleted or not_found."""


class WaitTimeout(JobError):
    """Report that a job did not end in time. It goes on: wait again with `job`."""


class JobsFailed(JobError):
    """Report the failures of a wait: `outcomes` has all, `__cause__` the first as an error."""

    outcomes: tuple[JobOutcome, ...] = ()
