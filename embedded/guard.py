"""The guard: a process that starts Kafka and PostgreSQL for an owner, and stops them when the owner has ended.

    python -m embedded.guard HOME INSTALLED OWNER_PID OWNER_STARTED [--passing]

The owner holds the other end of the guard's standard input and never writes to it. However the owner ends, by return,
exception, signal or SIGKILL, the kernel closes that end, and the guard reads end of file. So there is a single way to
stop, and it needs no handler in the owner. Standard output carries one JSON object a line: `{"progress": ...}`, then
`{"ready": ...}` or `{"failed": ...}`.
"""

import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from embedded import fast_start, kafka, postgres
from embedded.hold import AlreadyRunning, held
from embedded.jars import classpath, read_lock
from embedded.postgres_folder import PostgresFolder, folder_for
from embedded.record import Member, ServiceRecord, Services, record_path, write_record
from errors import OperatorError

T = TypeVar("T")

PASSING = "--passing"
"""The option for data that nobody needs when the owner has ended."""


def say(**message: object) -> None:
    """Send the owner a message. If the owner has ended, nothing is sent."""
    with suppress(BrokenPipeError):
        print(json.dumps(message), flush=True)


def watch(owner: Member, gone: threading.Event) -> None:
    """Set `gone` when the owner has ended: its end of standard input closes, or this process gets another parent.

    The second is needed where a child that the owner forked keeps its end of standard input open.
    """
    while not gone.is_set():
        readable, _, _ = select.select([sys.stdin], [], [], 0.5)
        if (readable and not os.read(sys.stdin.fileno(), 1)) or os.getppid() != owner.pid:
            gone.set()


def guard(home: Path, installed: Path, owner: Member, gone: threading.Event, *, lasting: bool = True) -> None:
    """Hold the folder, run both services until `gone` is set, stop them. `lasting` is that of `embedded.services`.

    Raises OperatorError, kafka.CalledOff.
    """
    with held(home, owner, gone):
        folder = folder_for(home)
        if home not in folder.path.parents:
            say(progress=f"PostgreSQL's user can't enter {home}: its files are in {folder.path}")
        stop_leftovers(home, folder)
        run_both(home, installed, folder, gone, lasting=lasting)


def run_both(home: Path, installed: Path, folder: PostgresFolder, gone: threading.Event, *, lasting: bool) -> None:
    """Start both at the same time, report them ready, and stop them when `gone` is set or one fails to start."""
    with ThreadPoolExecutor(2) as pool:
        broker = pool.submit(or_call_off, start_kafka, gone, home, installed, gone)
        server = pool.submit(or_call_off, start_postgres, gone, folder, lasting)
        started: list[Future[Any]] = [broker, server]
        wait(started)
        try:
            raise_first([future.exception() for future in started])
            ready(home, broker.result(), server.result())
            gone.wait()
        finally:
            record_path(home).unlink(missing_ok=True)
            stopping = [pool.submit(postgres.stop, folder, lasting=lasting)]
            if not broker.exception():
                stopping.append(pool.submit(kafka.stop, broker.result(), lasting=lasting))
            for each in stopping:
                each.result()


def start_kafka(home: Path, installed: Path, gone: threading.Event) -> kafka.Broker:
    """Start the broker on the data in `home`/kafka. Raises kafka.KafkaFailed, kafka.CalledOff."""
    jars = read_lock()
    options, pattern = fast_start.options(installed, jars), fast_start.storage_pattern(installed, jars)
    broker = kafka.start(home / "kafka", classpath(installed, jars), gone, trial=options, pattern=pattern)
    say(progress=f"Kafka answers on {broker.bootstrap}")
    return broker


def start_postgres(folder: PostgresFolder, lasting: bool) -> postgres.Server:
    """Start the server on the data in `folder`. Raises postgres.PostgresFailed, NoWheel."""
    server = postgres.start(folder, lasting=lasting)
    say(progress=f"PostgreSQL answers on port {server.port}")
    return server


def raise_first(failures: list[BaseException | None]) -> None:
    """Raise the failure that caused the others: a broker that was called off is a consequence."""
    for failure in sorted(filter(None, failures), key=lambda failure: isinstance(failure, kafka.CalledOff)):
        raise failure


def or_call_off(start: Callable[..., T], gone: threading.Event, *arguments: object) -> T:
    """Call `start`; if it fails, set `gone`, so that the other service is not waited for."""
    try:
        return start(*arguments)
    except BaseException:
        gone.set()
        raise


def ready(home: Path, broker: kafka.Broker, server: postgres.Server) -> None:
    """Write the record of both services into `home`, and report them to the owner."""
    services = Services(kafka=broker.bootstrap, database_url=server.url)
    write_record(home, ServiceRecord(services, Member.of(broker.process.pid), Member.of(server.pid)))
    say(ready=asdict(services))


def stop_leftovers(home: Path, folder: PostgresFolder) -> None:
    """End services that an earlier guard left running when it was killed. The caller must hold the folder."""
    kafka.stop_leftover(home / "kafka")
    postgres.stop(folder)
    record_path(home).unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Run the guard until its owner has ended. Exit code 0, or 1 if the services did not start."""
    home, installed, owner = Path(arguments[0]), Path(arguments[1]), Member(int(arguments[2]), float(arguments[3]))
    gone = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: gone.set())
    threading.Thread(target=watch, args=(owner, gone), daemon=True).start()
    try:
        guard(home, installed, owner, gone, lasting=PASSING not in arguments)
    except (OperatorError, kafka.CalledOff) as error:
        say(failed=str(error), already_running=isinstance(error, AlreadyRunning))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
