"""`sistercity ingest run`: the sources that a file lists, while they deliver."""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from node import lifecycle, wiring
from node.clock import now_ms
from node.commands.ingest.files import zone_named
from node.health import RoleHealth
from node.live_sources import RunningSource, SourceGroup, SourceThreads
from node.settings import settings
from node.spools import remove_leftovers, spool
from node.words import counted

if TYPE_CHECKING:
    from api.serving import BoundedServer
    from ingest.journal import Arrivals
    from ingest.live.inbox import Inbox
    from ingest.live.sources_file import FolderSource, HttpSource, Listen, PollSource, SourcesList, TopicSource
    from store.database import Connection

logger = logging.getLogger(__name__)


def run(
    sources: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="SOURCES.toml")],
) -> None:
    """Take what the listed sources deliver, until stopped: folders, HTTP, MQTT, polls, Kafka (docs/live-sources.md)."""
    from ingest.live.heard import LastHeard
    from ingest.live.sources_file import load_sources

    listed = load_sources(sources)
    health = RoleHealth("ingest")
    stop = lifecycle.start("ingest", health)
    remove_leftovers()
    with ExitStack() as stack:
        threads = SourceThreads(zone_named(wiring.city().zone), health, LastHeard(listed.silent_ms, {}, now_ms()), stop)
        groups = _groups(stack, listed, stop)
        server = _server(listed.http, groups.inboxes, listed.listen) if listed.http else None
        if groups.folders is not None:
            logger.info("watching %s", counted(len(listed.folders), "folder"))
            threads.start(groups.folders)
        for group in groups.others:
            threads.start(group)
        for start in groups.starting:
            start()
        if server is not None:
            _serve(stack, server, threads, stop)
            logger.info("listening on %s:%d for %d sources", listed.listen.host, listed.listen.port, len(listed.http))
        stop.wait()
        threads.join()


class _Groups:
    """The groups of a list: folders take turns, each other source has a thread."""

    def __init__(self) -> None:
        self.folders: SourceGroup | None = None
        self.others: list[SourceGroup] = []
        self.inboxes: list[Inbox] = []
        self.starting: list[Callable[[], None]] = []
        """What begins to receive, when the groups run."""


def _groups(stack: ExitStack, listed: "SourcesList", stop: Event) -> _Groups:
    from ingest.journal import ARRIVAL_DAYS
    from ingest.live.folder import Folder
    from ingest.live.inbox import Inbox
    from ingest.live.mqtt import MqttInbox

    groups = _Groups()
    found = []
    for source in listed.folders:
        _lock(stack, source)
        copies = stack.enter_context(spool())
        folder = Folder(source.name, source.path, source.pattern, source.settle_ms, copies, now_ms)
        found.append(RunningSource(folder, folder, source.content, "folder", remembered_days=ARRIVAL_DAYS))
    if found:
        groups.folders = SourceGroup("folders", found, stop.wait)
    for sender in listed.http:
        inbox = Inbox(sender.name, stack.enter_context(spool()), now_ms)
        one = RunningSource(inbox, inbox, sender.content, "http", endless=True, arrivals=_answered(inbox))
        groups.others.append(SourceGroup(sender.name, [one], inbox.wait))
        groups.inboxes.append(inbox)
    for messages in listed.mqtt:
        topics = MqttInbox(messages.name, messages.broker, stack.enter_context(spool()), now_ms)
        one = RunningSource(topics, topics, messages.content, "mqtt", endless=True, each_line=True)
        groups.others.append(SourceGroup(messages.name, [one], topics.wait))
        stack.callback(topics.stop)
        groups.starting.append(topics.start)
    for asked in listed.polls:
        groups.others.append(_polled(stack, asked, stop))
    groups.others += [_topic(stack, source) for source in listed.topics]
    return groups


def _polled(stack: ExitStack, source: "PollSource", stop: Event) -> SourceGroup:
    from ingest.live.poll import Poll

    connecting = source.connecting(wiring.poll_proxy())
    poll = Poll(source.name, source.address, connecting, stack.enter_context(spool()), now_ms, stop)
    one = RunningSource(poll, poll, source.content, "poll", endless=True, remembered_days=1, around=poll.unrepeated)
    return SourceGroup(source.name, [one], stop.wait)


def _answered(inbox: "Inbox") -> "Callable[[Connection], Arrivals]":
    """What keeps the answers to senders, by a connection."""
    from ingest.live.answered import AnsweredKeys

    def made(connection: "Connection") -> "Arrivals":
        kept = AnsweredKeys(connection, inbox.name, inbox.to_keep)
        inbox.find_answers_by(kept.find)
        return kept

    return made


def _topic(stack: ExitStack, source: "TopicSource") -> SourceGroup:
    from ingest.live.topics.inbox import TopicInbox

    address = source.address
    log = wiring.log_of_others(address.bootstrap, address.security)
    copies = stack.enter_context(spool())
    inbox = TopicInbox(source.name, log, address.topic, address.group, address.start, copies, now_ms)
    stack.callback(inbox.stop)
    one = RunningSource(*(inbox, inbox, source.content, "topic"), endless=True, each_line=True, around=source.messages)
    return SourceGroup(source.name, [one], inbox.wait)


def _server(sources: "Sequence[HttpSource]", inboxes: "Sequence[Inbox]", listen: "Listen") -> "BoundedServer":
    from api.push.app import PushApp, Sender
    from api.serving import BoundedServer, Listening
    from api.tls import renewing_context

    senders = [
        Sender(source.name, source.tokens, source.media_types, inbox, source.requests_per_s)
        for source, inbox in zip(sources, inboxes, strict=True)
    ]
    tls = None
    if listen.certificate is not None:
        tls = renewing_context(listen.certificate, listen.key or listen.certificate)
    listening = Listening(listen.host, listen.port, tls)
    return BoundedServer(PushApp(senders), listening, log_level=settings().log_level.lower())


def _serve(stack: ExitStack, server: "BoundedServer", threads: "SourceThreads", stop: Event) -> None:
    """Serve in a thread; what ends the server by itself, such as a port that is taken, ends `threads`, too."""

    def serve() -> None:
        try:
            server.run()
        except BaseException as error:
            threads.fail(error)
        finally:
            stop.set()

    thread = threading.Thread(target=serve, name="http")
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join()

    stack.callback(end)


def _lock(stack: ExitStack, source: "FolderSource") -> None:
    """One process takes the files of a folder. Raises `CommandError` if another does."""
    path = source.path / ".sistercity.lock"
    try:
        # Never through a link that somebody who may write to the folder has put there.
        file = stack.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb+"))
    except OSError as error:
        raise wiring.CommandError(
            f"{path}: can't be made, and the process must write beside the files: {error}"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise wiring.CommandError(f"{source.path}: another process watches this folder") from None
