"""Publishing an import of the past (R11): what the operator names, and nothing of the running streams' own windows.

All windows of the named time are published, whatever came in, so that what is missing in the files tells nothing. What
the register can't make pass is refused as a whole: publications of suppressed cells alone would only tell that there is
an import. Times are milliseconds since 1970, UTC.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from errors import OperatorError
from federation.disclosure.rules import rule_in_force
from federation.publications.appending import Appender
from federation.publications.publisher import Published, Turn, leave
from federation.publications.schedule import Due, Stream
from federation.publications.slots import local_midnight, windows_from
from schemas.catalogue import Metric
from schemas.rules import minimum_contributors
from store.database import Connection
from store.moments import moment
from store.publications import Window
from store.publishing import begins, published_windows, skipped_until, topic_state
from store.standing import registered_contributors


class NotPublishable(OperatorError):
    """An import, or a part of it, can't be published; the text says why and what to do."""


def publish_history(
    appender: Appender, topic: str, metric: Metric, span: Window, zone: str, now_ms: int
) -> Iterator[Published]:
    """Publish the windows of a metric that lie in `span`, each in its own transaction, as they are asked for.

    To be called under the publisher's lock. Windows that are published already are left out, so a run that was
    interrupted can be repeated. Raises `NotPublishable` before anything is published, `UnknownRule`, and psycopg's
    errors.
    """
    rule_in_force(metric)
    if metric not in leave(appender.connection, [metric]):
        raise NotPublishable(f"{metric.name} stays inside, as a metric or beside another of the same flow (P3)")
    windows = _windows(appender.connection, topic, metric, span, zone, now_ms)
    known = published_windows(appender.connection, metric.name, span)
    turn = Turn(appender, [Stream(topic, [metric])], zone, now_ms)
    for window in windows:
        if window.start not in known and (made := turn.publish(Due(now_ms, metric, window))) is not None:
            yield made


def _windows(
    connection: Connection, topic: str, metric: Metric, span: Window, zone: str, now_ms: int
) -> Sequence[Window]:
    """The metric's windows that lie in the span, once all of them may be published."""
    windows = list(takewhile(lambda window: window.end <= span.end, windows_from(metric, zone, span.start)))
    if not windows:
        raise NotPublishable(f"no window of {metric.name} lies in the named time: each is a {metric.window}")
    if windows[0].start < (skipped := skipped_until(connection, metric.name)):
        raise NotPublishable(
            f"the ledger was lost: what was published of {metric.name} before {moment(skipped).isoformat()} is not"
            " known, and nothing of that time can be published any more"
        )
    limit = begins(connection).get(metric.name, local_midnight(zone, now_ms))
    if windows[-1].end > limit:
        raise NotPublishable(
            f"{metric.name} is published from the running streams since {moment(limit).isoformat()}:"
            " an import can't be published in place of them; name an earlier --until"
        )
    if not any(_can_pass(connection, metric, window) for window in (windows[0], windows[-1])):
        raise NotPublishable(
            f"no area and class of {metric.name} has as many contributors in the register of that time as {metric.rule}"
            " asks for: nothing of it can ever be released"
        )
    reached = topic_state(connection, topic).event_time
    if reached is None or windows[-1].end > reached - metric.lateness_ms:
        raise NotPublishable(
            f"{topic} is not processed up to {moment(windows[-1].end).isoformat()}: run `sistercity process --history`"
        )
    return windows


def _can_pass(connection: Connection, metric: Metric, window: Window) -> bool:
    """Whether some cell of the window has as many registered contributors as its rule asks for at least."""
    registered = registered_contributors(connection, metric.registered_as, window.start)
    if metric.derived_from is not None:
        return any(count >= min(_least(metric, class_) for class_ in metric.classes) for count in registered.values())
    return any(count >= _least(metric, class_) for (_, class_), count in registered.items() if class_ in metric.classes)


def _least(metric: Metric, class_: str) -> int:
    return max(1, minimum_contributors(metric.rule, class_))
