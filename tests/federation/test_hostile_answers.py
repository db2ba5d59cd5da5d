"""A partner whose answers are none, too large, too many or too slow is refused with a clear word, in bounded time."""

import gzip
from collections.abc import Callable
from dataclasses import replace

import pytest

from federation.partners.limits import FetchLimits
from store.publications import PublishedCell
from tests.federation.stage import Stage
from tests.federation.talking import IMPORT, QUICK, SOLAR, Reply, TalkingCity, agree

pytestmark = pytest.mark.services

METRIC = IMPORT.name
GOOD = (2, 2, 2)


PAGES: dict[str, tuple[str, Callable[[Reply], Reply]]] = {
    "cut": ("malformed", lambda reply: replace(reply, body=reply.body[:-10])),
    "with an empty line": ("malformed", lambda reply: replace(reply, body=b"\n" + reply.body)),
    "without a cursor": ("malformed", lambda reply: replace(reply, headers={})),
    "with a cursor that breaks a query": ("malformed", lambda reply: _next(reply, "2&limit=9")),
    "of more than was asked for": ("too-many", lambda reply: replace(reply, body=reply.body * 2)),
    "not JSON": ("malformed", lambda reply: replace(reply, body=b"nothing\n")),
    "very deep": ("malformed", lambda reply: replace(reply, body=b"[" * 20_000 + b"\n")),
    "of HTML": ("media-type", lambda reply: replace(reply, media_type="text/html")),
    "of no media type": ("media-type", lambda reply: replace(reply, media_type="")),
    "compressed": ("media-type", lambda reply: replace(_bomb(reply), headers={"Content-Encoding": "gzip"})),
    "too large": ("too-large", lambda reply: replace(reply, body=b" " * 100_001)),
    "elsewhere": ("redirect", lambda reply: Reply(302, headers={"Location": "http://127.0.0.1:1/v1/entries"})),
    "not there": ("refused", lambda reply: Reply(404)),
    "an empty success": ("refused", lambda reply: Reply(204)),
    "unchanged, unasked": ("not-modified", lambda reply: Reply(304)),
    "gone, and gone again": ("gone", lambda reply: Reply(410)),
}


def _next(reply: Reply, text: str) -> Reply:
    return replace(reply, headers={"Sistercity-Next": text})


def _bomb(reply: Reply) -> Reply:
    return replace(reply, body=gzip.compress(b"0" * 10**6))


@pytest.mark.parametrize(("reason", "edit"), PAGES.values(), ids=PAGES.keys())
def test_a_page_that_is_none_is_refused_at_once(
    stage: Stage, hue: TalkingCity, reason: str, edit: Callable[[Reply], Reply]
) -> None:
    hue.edits["/v1/entries"] = edit
    assert stage.refused(replace(QUICK, bytes=100_000)) == reason
    assert stage.stored() == (0, 0, 0)
    assert hue.requests.count("/v1/entries") <= 2


def test_pages_that_never_end_are_bounded_by_the_bytes_of_entries(stage: Stage, hue: TalkingCity) -> None:
    hue.say(*range(2, 40))
    assert stage.refused(replace(QUICK, entry_bytes=5_000)) == "too-large"
    assert stage.stored() == (0, 0, 0)


def test_the_same_cursor_again_is_no_progress(stage: Stage, hue: TalkingCity) -> None:
    stage.pull()
    hue.say(2)
    hue.edits["/v1/entries"] = lambda reply: _next(reply, "2")
    assert stage.refused() == "no-progress"


def test_a_body_that_no_entry_names_is_refused_and_one_of_a_later_entry_waits(stage: Stage, hue: TalkingCity) -> None:
    other = TalkingCity("elsewhere")
    stranger = other.publish(1, cells=[PublishedCell(1, "residential", 7, "high", IMPORT.rule)], sequence=2)
    hue.edits["/v1/bodies"] = lambda reply: replace(reply, body=(stranger.body or b"") + b"\n")
    assert stage.refused() == "unknown-body"
    later = other.publish(5, sequence=9)
    hue.edits["/v1/bodies"] = lambda reply: replace(reply, body=reply.body + (later.body or b"") + b"\n")
    [pulled] = stage.pull(replace(QUICK, lines=3))
    assert pulled.failure is None
    assert stage.stored() == GOOD


def test_bodies_out_of_order_are_refused(stage: Stage, hue: TalkingCity) -> None:
    hue.edits["/v1/bodies"] = lambda reply: replace(reply, body=b"\n".join(reply.body.split(b"\n")[1::-1]) + b"\n")
    assert stage.refused() == "malformed"
    assert stage.stored() == (2, 0, 0)


def test_an_entry_of_a_metric_that_is_not_agreed_on_is_refused(stage: Stage) -> None:
    city = TalkingCity(metrics=(IMPORT, SOLAR))
    city.say(0)
    city.say(0, metric=SOLAR.name)
    agreement = stage.meet(city)
    only = replace(agreement, id="B" * 22, grants=agreement.grants[:1])
    stage.begin()
    stage.cities[city.city] = city
    agree(stage.database_url, only)
    assert stage.refused() == "not-agreed"
    assert stage.stored() == (0, 0, 0)


@pytest.mark.parametrize("status", [429, 500, 503, 599])
def test_a_server_error_is_retried_a_limited_number_of_times(stage: Stage, hue: TalkingCity, status: int) -> None:
    hue.replies = {"/v1/head": [Reply(status)] * 2}
    assert stage.pull()[0].failure is None
    hue.replies = {"/v1/head": [Reply(status)] * 3}
    assert stage.refused() == "unreachable"


def test_an_answer_that_never_comes_is_given_up_at_the_deadline(stage: Stage, hue: TalkingCity) -> None:
    hue.hold.clear()
    assert stage.refused(FetchLimits(attempts=2, backoff_s=0.01, deadline_s=0.2)) == "unreachable"


def test_a_turn_has_an_end(stage: Stage, hue: TalkingCity) -> None:
    hue.hold.clear()
    assert stage.refused(replace(QUICK, turn_s=0.2)) == "too-slow"


TOKENS: dict[str, tuple[str, Reply]] = {
    "none": ("malformed", Reply(body=b"{}")),
    "a token that breaks a header": (
        "malformed",
        Reply(body=b'{"access_token": "a\\r\\nb", "token_type": "Bearer", "expires_in": 900}'),
    ),
    "a refusal": ("refused", Reply(400, body=b'{"error": "invalid_request"}')),
    "a refusal without words": ("refused", Reply(400)),
}


@pytest.mark.parametrize(("reason", "answer"), TOKENS.values(), ids=TOKENS.keys())
def test_an_answer_that_is_no_token_is_refused(stage: Stage, hue: TalkingCity, reason: str, answer: Reply) -> None:
    hue.edits["/v1/token"] = lambda _: answer
    assert stage.refused() == reason


def test_an_agreement_that_is_not_in_force_there_is_told_in_words(stage: Stage, hue: TalkingCity) -> None:
    hue.edits["/v1/token"] = lambda _: Reply(400, body=b'{"error": "invalid_scope"}')
    [pulled] = stage.pull()
    assert "not in force there: it was revoked, or this version is not installed yet" in str(pulled.failure)


def test_a_token_that_ended_early_is_replaced_once(stage: Stage, hue: TalkingCity) -> None:
    hue.replies = {"/v1/entries": [Reply(401)]}
    assert stage.pull()[0].failure is None
    assert hue.tokens == 2
    hue.edits["/v1/entries"] = lambda _: Reply(401)
    assert stage.refused() == "refused"
