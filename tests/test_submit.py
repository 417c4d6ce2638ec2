"""The exchange that sends one file: every answer that can be lost, without a network."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from krixik_async._errors import (
    AnswerLost,
    AuthenticationError,
    ConnectFailed,
    FileChanged,
    KrixikError,
    RequestNotFound,
    RequestRejected,
    ServerError,
    SubmitUncertain,
    UploadInterrupted,
    UploadRejected,
)
from krixik_async._models import FailureStatus, ProcessStatus
from krixik_async._reply import Reply
from krixik_async._submit import (
    AskTicket,
    Exchange,
    LookUp,
    Pause,
    RecordedTicket,
    SendForm,
    Step,
    Submitted,
    resume,
    submit,
)
from krixik_async._wire import Submit, Ticket

REQUEST = Submit(
    pipeline="books",
    pipeline_ordered_modules=("keyword-db",),
    pipeline_output_process_keys=(None,),
    modules={},
    file_name="moby.txt",
    symbolic_directory_path="/novels",
    file_tags=(),
    file_description="",
    expire_time=1800,
)


def ticket(number: int) -> Ticket:
    return Ticket(
        request_id=f"request {number}",
        file_id=f"file {number}",
        url="u",
        fields=(),
        reply=Reply(200),
    )


def status(*flags: bool, overall: str = "ongoing") -> ProcessStatus:
    failed = FailureStatus(process_id=None, failure_module=None) if overall == "failed" else None
    return ProcessStatus(
        status_code=200,
        request_id="call",
        file_id="file",
        message="",
        pipeline="books",
        modules={f"module_{n}": flag for n, flag in enumerate(flags, 1)},
        overall_status=overall,  # type: ignore[arg-type]
        failure_status=failed,
    )


@attrs.define
class Service:
    """Answers each step from a script; time only passes in pauses, and while suspended.

    That is in the first upload, for so long by the monotonic and by the wall clock.
    """

    tickets: list[Ticket | KrixikError]
    uploads: list[KrixikError | None] = attrs.field(factory=list)
    looks: list[ProcessStatus | KrixikError] = attrs.field(factory=list)
    suspended_s: tuple[float, float] = (0.0, 0.0)
    now: float = 0.0
    wall: float = 1e9
    steps: list[Step] = attrs.field(factory=list)

    def answer(self, step: Step) -> Ticket | ProcessStatus | KrixikError | None:
        self.steps.append(step)
        match step:
            case AskTicket():
                return self.tickets.pop(0)
            case SendForm():
                (now, wall), self.suspended_s = self.suspended_s, (0.0, 0.0)
                self.now, self.wall = self.now + now, self.wall + wall
                return self.uploads.pop(0) if self.uploads else None
            case LookUp():
                # The last answer is repeated for ever.
                return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
            case Pause(seconds):
                self.now, self.wall = self.now + seconds, self.wall + seconds
        return None

    def run(self, fresh_name: Callable[[], str] | None = None) -> Submitted:
        return self.drive(
            submit(
                REQUEST,
                now=lambda: self.now,
                wall=lambda: self.wall,
                what="'moby.txt'",
                fresh_name=fresh_name,
            )
        )

    def drive(self, exchange: Exchange) -> Submitted:
        step = next(exchange)
        while True:
            answer = self.answer(step)
            try:
                if isinstance(answer, KrixikError):
                    step = exchange.throw(answer)
                else:
                    step = exchange.send(answer)
            except StopIteration as end:
                done: Submitted = end.value
                return done

    @property
    def kinds(self) -> list[str]:
        return [type(step).__name__ for step in self.steps if not isinstance(step, Pause)]

    @property
    def names(self) -> list[str]:
        return [step.request.file_name for step in self.steps if isinstance(step, AskTicket)]


def names() -> Callable[[], str]:
    made = iter(range(100))
    return lambda: f"made up {next(made)}.txt"


def taken() -> RequestRejected:
    return RequestRejected("BAD REQUEST: in the service's own words")


def test_the_plain_way_is_one_ticket_and_one_upload() -> None:
    service = Service([ticket(1)])
    assert service.run() == Submitted(ticket=ticket(1), request=REQUEST, asked_at=0.0)
    assert service.kinds == ["AskTicket", "SendForm"]


@pytest.mark.parametrize("loss", [AnswerLost("lost"), ServerError("500")])
def test_a_lost_ticket_answer_under_a_made_up_name_takes_a_fresh_name(loss: KrixikError) -> None:
    service = Service([loss, ticket(2)])
    done = service.run(names())
    assert service.names == ["moby.txt", "made up 0.txt"]
    assert done.request.file_name == "made up 0.txt"
    assert done.asked_at > 0.0


def test_a_lost_ticket_answer_under_the_callers_name_asks_again_through_taken() -> None:
    service = Service([AnswerLost("lost"), *[taken() for _ in range(12)], ticket(2)])
    assert service.run().ticket == ticket(2)
    assert set(service.names) == {"moby.txt"}
    assert 60.0 <= service.now <= 90.0


def test_a_name_still_taken_90_s_after_the_loss_is_uncertain_and_names_path_and_time() -> None:
    service = Service([AnswerLost("lost"), *[taken() for _ in range(40)]])
    with pytest.raises(SubmitUncertain, match=r"'moby.txt'.* 92 s ago.*'/novels/moby.txt'") as info:
        service.run()
    assert info.value.pipeline == "books"
    assert 90.0 <= service.now < 100.0


def test_a_refusal_without_a_loss_is_raised_at_once() -> None:
    service = Service([taken()])
    with pytest.raises(RequestRejected, match="own words"):
        service.run()
    assert service.now == 0.0


def test_a_refusal_known_to_mean_something_else_is_raised_even_after_a_loss() -> None:
    other_chain = RequestRejected(
        "BAD REQUEST: you have at least one file on record with the same pipeline name..."
    )
    with pytest.raises(RequestRejected, match="same pipeline name"):
        Service([AnswerLost("lost"), other_chain]).run()


def test_a_made_up_name_that_is_taken_is_raised_for_it_cannot_be_our_own() -> None:
    with pytest.raises(RequestRejected, match="own words"):
        Service([AnswerLost("lost"), taken()]).run(names())


def test_four_lost_ticket_answers_are_given_up() -> None:
    service = Service([AnswerLost(f"lost {n}") for n in range(1, 6)])
    with pytest.raises(AnswerLost, match="lost 4"):
        service.run()


def test_no_connection_for_the_ticket_is_raised() -> None:
    with pytest.raises(ConnectFailed):
        Service([ConnectFailed("refused")]).run()


def test_an_interrupted_upload_is_repeated_on_the_same_ticket() -> None:
    service = Service(
        [ticket(1)], uploads=[UploadInterrupted("cut"), UploadInterrupted("cut"), None]
    )
    assert service.run().ticket == ticket(1)
    assert service.kinds == ["AskTicket", "SendForm", "SendForm", "SendForm"]
    assert service.now > 0.0


def test_an_upload_interrupted_four_times_takes_a_new_ticket_and_then_gives_up() -> None:
    cut = [UploadInterrupted("cut") for _ in range(100)]
    service = Service([ticket(n) for n in range(1, 9)], uploads=cut)
    with pytest.raises(UploadInterrupted) as info:
        service.run()
    assert service.kinds.count("AskTicket") == 4
    assert service.kinds.count("SendForm") == 16
    assert (info.value.request_id, info.value.file_id) == ("request 4", "file 4")
    assert info.value.pipeline == "books"


def refused(status: int) -> UploadRejected:
    return UploadRejected(str(status), reply=Reply(status))


def test_a_form_refused_with_403_means_one_new_ticket() -> None:
    service = Service([ticket(1), ticket(2)], uploads=[refused(403), None])
    assert service.run().ticket == ticket(2)
    assert "LookUp" not in service.kinds


def test_a_form_refused_with_403_again_is_raised_with_the_ids() -> None:
    service = Service([ticket(1), ticket(2)], uploads=[refused(403), refused(403)])
    with pytest.raises(UploadRejected) as info:
        service.run()
    assert info.value.request_id == "request 2"
    assert service.kinds.count("SendForm") == 2


def test_a_form_that_came_at_a_bad_time_gets_new_tickets() -> None:
    service = Service([ticket(1), ticket(2), ticket(3)], uploads=[refused(429), refused(429), None])
    assert service.run().ticket == ticket(3)
    assert "LookUp" not in service.kinds


def test_a_form_that_always_comes_at_a_bad_time_is_given_up() -> None:
    service = Service([ticket(n) for n in range(1, 6)], uploads=[refused(429)] * 5)
    with pytest.raises(UploadRejected):
        service.run()
    assert service.kinds.count("AskTicket") == service.kinds.count("SendForm") == 4


@pytest.mark.parametrize("status", [302, 307, 400, 409, 413])
def test_a_form_refused_for_what_it_is_is_raised_at_once(status: int) -> None:
    service = Service([ticket(1)], uploads=[refused(status)])
    with pytest.raises(UploadRejected):
        service.run()
    assert (service.kinds, service.now) == (["AskTicket", "SendForm"], 0.0)


@pytest.mark.parametrize(
    "found",
    [status(True, False), status(True, overall="complete"), status(False, overall="failed")],
)
@pytest.mark.parametrize("loss", [AnswerLost("lost"), *map(refused, (200, 201, 303, 500, 503))])
def test_after_a_lost_upload_answer_any_sign_of_work_means_it_arrived(
    loss: KrixikError, found: ProcessStatus
) -> None:
    service = Service([ticket(1)], uploads=[loss], looks=[found])
    assert service.run().ticket == ticket(1)
    assert service.kinds == ["AskTicket", "SendForm", "LookUp"]


def test_all_false_until_the_ticket_is_surely_gone_means_it_arrived() -> None:
    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=[status(False)])
    assert service.run().ticket == ticket(1)
    assert 75.0 <= service.now <= 80.0
    assert service.kinds.count("SendForm") == 1


def test_a_record_that_vanished_means_it_did_not_arrive_and_a_new_ticket_is_taken() -> None:
    looks: list[ProcessStatus | KrixikError] = [status(False)] * 29
    looks += [RequestNotFound("gone")]
    service = Service([ticket(1), ticket(2)], uploads=[AnswerLost("lost"), None], looks=looks)
    assert service.run(names()).ticket == ticket(2)
    assert service.names == ["moby.txt", "made up 0.txt"]


@pytest.mark.parametrize("suspended_s", [(1500.0, 1500.0), (0.0, 1500.0), (1500.0, -3600.0)])
def test_not_found_after_a_suspension_of_a_records_life_is_uncertain(
    suspended_s: tuple[float, float],
) -> None:
    """It may have been processed and have expired, whichever of the clocks stood still."""
    service = Service(
        [ticket(1)], [AnswerLost("lost")], [RequestNotFound("gone")], suspended_s=suspended_s
    )
    with pytest.raises(
        SubmitUncertain, match=r"15\d\d s old .* was processed and has expired"
    ) as info:
        service.run(names())
    assert (info.value.request_id, info.value.file_id) == ("request 1", "file 1")
    assert service.names == ["moby.txt"]


def test_not_found_after_a_shorter_suspension_means_it_did_not_arrive() -> None:
    """Of each ticket for itself."""
    service = Service(
        [ticket(1), ticket(2), ticket(3)],
        [AnswerLost("lost"), AnswerLost("lost")],
        [RequestNotFound("gone")],
        suspended_s=(0.0, 1400.0),
    )
    assert service.run(names()).ticket == ticket(3)


def test_not_found_while_the_record_may_not_be_readable_yet_is_no_verdict() -> None:
    """Stored, but read too early: a second upload would be processed twice."""
    looks: list[ProcessStatus | KrixikError] = [RequestNotFound("lag")] * 7 + [status(True)]
    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=looks)
    assert service.run().ticket == ticket(1)
    assert service.kinds.count("SendForm") == 1


def test_one_late_not_found_alone_is_no_verdict() -> None:
    looks: list[ProcessStatus | KrixikError] = [status(False)] * 10
    looks += [RequestNotFound("odd"), status(False), RequestNotFound("odd"), status(True)]
    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=looks)
    assert service.run().ticket == ticket(1)


def test_uploads_that_vanish_on_four_tickets_are_given_up_as_not_arrived() -> None:
    service = Service(
        [ticket(n) for n in range(1, 9)],
        uploads=[AnswerLost("lost") for _ in range(9)],
        looks=[RequestNotFound("gone")],
    )
    with pytest.raises(UploadInterrupted, match="any of 4 tickets") as info:
        service.run(names())
    assert info.value.request_id == "request 4"


def test_an_outage_while_looking_is_ridden_out_for_90_s_and_then_uncertain() -> None:
    looks: list[ProcessStatus | KrixikError] = [ConnectFailed("down")] * 10
    looks += [status(True)]
    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=looks)
    assert service.run().ticket == ticket(1)

    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=[ConnectFailed("down")])
    with pytest.raises(SubmitUncertain, match=r"'moby.txt'.*\(down\).*'/novels/moby.txt'") as info:
        service.run()
    assert 90.0 <= service.now <= 95.0
    assert info.value.request_id == "request 1"


def test_a_rejected_key_ends_the_looking_at_once_and_leaves_it_uncertain() -> None:
    service = Service([ticket(1)], uploads=[AnswerLost("lost")], looks=[AuthenticationError("no")])
    with pytest.raises(SubmitUncertain, match="key was rejected") as info:
        service.run()
    assert isinstance(info.value.__cause__, AuthenticationError)
    assert service.now == 0.0


def test_a_file_that_changed_is_raised_with_the_ids_of_its_ticket() -> None:
    service = Service([ticket(1)], uploads=[FileChanged("grew")])
    with pytest.raises(FileChanged) as info:
        service.run()
    assert info.value.file_id == "file 1"


# --- taken up again -----------------------------------------------------------------------------

RECORDED = RecordedTicket(request_id="request 1", file_id="file 1", age_s=5.0, life_s=1800.0)


def take_up(
    service: Service,
    fresh_name: Callable[[], str] | None = None,
    *,
    age_s: float = 5.0,
) -> Submitted:
    recorded = attrs.evolve(RECORDED, age_s=age_s)
    exchange = resume(
        REQUEST,
        recorded,
        now=lambda: service.now,
        wall=lambda: service.wall,
        what="'moby.txt'",
        fresh_name=fresh_name,
    )
    return service.drive(exchange)


def test_an_upload_that_arrived_before_the_kill_is_found_and_not_repeated() -> None:
    service = Service([], looks=[status(True)])
    assert take_up(service) == Submitted(ticket=RECORDED, request=REQUEST, asked_at=-5.0)
    assert service.kinds == ["LookUp"]
    assert service.now == 0.0


def test_all_flags_false_is_outlived_from_the_taking_up_on_whatever_the_clocks_say() -> None:
    """The recorded age may be of another machine's clock: it hastens no verdict."""
    service = Service([], looks=[status(False)])
    assert take_up(service, age_s=250.0).ticket.request_id == "request 1"
    assert 75.0 <= service.now <= 80.0
    assert set(service.kinds) == {"LookUp"}


def test_a_record_that_is_gone_takes_a_new_ticket_under_a_fresh_name() -> None:
    service = Service([ticket(2)], looks=[RequestNotFound("gone")])
    done = take_up(service, names())
    assert (done.ticket, done.request.file_name) == (ticket(2), "made up 0.txt")
    assert service.now >= 15.0


def test_a_record_that_is_gone_asks_again_under_the_callers_name_through_taken() -> None:
    service = Service([taken(), taken(), ticket(2)], looks=[RequestNotFound("gone")])
    assert take_up(service).ticket == ticket(2)
    assert set(service.names) == {"moby.txt"}


@pytest.mark.parametrize("age_s", [1500.0, 1e9, -400.0])
def test_a_record_that_may_have_been_processed_and_expired_is_uncertain(age_s: float) -> None:
    """Not found may mean done and expired since, or a clock that cannot be trusted: no guess."""
    service = Service([], looks=[RequestNotFound("gone")])
    with pytest.raises(SubmitUncertain, match=r"is gone.*'/novels/moby.txt'") as info:
        take_up(service, names(), age_s=age_s)
    assert (info.value.request_id, info.value.file_id) == ("request 1", "file 1")
    assert info.value.pipeline == "books"


def test_looking_after_a_recorded_ticket_gives_up_after_90_s_of_outage() -> None:
    service = Service([], looks=[ConnectFailed("down")])
    with pytest.raises(SubmitUncertain, match="asking failed") as info:
        take_up(service)
    assert info.value.request_id == "request 1"


def test_after_a_kill_while_a_ticket_was_asked_for_taken_may_be_our_own() -> None:
    service = Service([taken(), taken(), ticket(2)])
    exchange = submit(
        REQUEST,
        now=lambda: service.now,
        wall=lambda: service.wall,
        what="'moby.txt'",
        perhaps_asked=True,
    )
    assert service.drive(exchange).ticket == ticket(2)
