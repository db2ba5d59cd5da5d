"""Fetch the Kafka runtime: `python -m embedded.install FOLDER`.

The lock names every jar, so nothing is resolved here: each is fetched through jgo, checked against its SHA-256 and
moved into the folder in one step. An interrupted run leaves only complete jars; the next run fetches the rest.
"""

import argparse
import fcntl
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from embedded import fast_start
from embedded.jars import LOCK, SERVER, Jar, jar_folder, kafka_version, read_lock, sha256_of, write_lock
from errors import OperatorError

VERSION = "4.1.1"
LOGGING_BRIDGE = ("org.apache.logging.log4j", "log4j-slf4j-impl")
PARALLEL = 8
ATTEMPTS = 3
TIMEOUT_SECONDS = 30


class DownloadFailed(OperatorError):
    """A jar could not be fetched."""

    def __init__(self, coordinates: str, reason: str) -> None:
        super().__init__(
            f"could not download {coordinates} ({reason}); check the network, the proxy and, where a mirror is used, "
            "[repositories] in jgo's settings file, then run the same command again"
        )


class WrongHash(OperatorError):
    """A fetched jar has another SHA-256 than the lock."""

    def __init__(self, jar: Jar, actual: str) -> None:
        super().__init__(
            f"{jar.coordinates} was refused: its SHA-256 is {actual}, not {jar.sha256} as in {LOCK.name}; "
            "find out which repository or proxy delivers another file before you try again"
        )


def maven_context(repo_cache: Path) -> MavenContext:
    """jgo's own default repository, with those of the user's settings file added or, by the same name, in its place."""
    context = MavenContext(repo_cache=repo_cache, timeout=TIMEOUT_SECONDS)
    context.remote_repos.update(GlobalSettings.load().repositories)
    return context


def install(
    folder: Path,
    jars: Sequence[Jar],
    *,
    report: Callable[[str], None],
    context_for: Callable[[Path], MavenContext] = maven_context,
) -> Path:
    """Bring every jar of `jars` into FOLDER/kafka/VERSION and return that folder; complete ones that are there stay.

    Raises DownloadFailed, WrongHash, OSError (the folder can't be written).
    """
    target = jar_folder(folder, jars)
    target.mkdir(parents=True, exist_ok=True)
    with only_installer(target.parent) as download:
        missing = [jar for jar in jars if not intact(target / jar.name, jar)]
        if missing:
            fast_start.cache_path(folder, jars).unlink(missing_ok=True)
        context = context_for(download / "cache")
        with ThreadPoolExecutor(PARALLEL) as pool:
            fetched = [pool.submit(fetch_checked, context, jar, download, target) for jar in missing]
            try:
                for done, future in enumerate(as_completed(fetched), start=1):
                    future.result()
                    report(f"Kafka {kafka_version(jars)}: {done} of {len(missing)} files fetched")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    report(f"Kafka {kafka_version(jars)}: {len(jars)} files in {target}")
    return target


@contextmanager
def only_installer(kafka_folder: Path) -> Iterator[Path]:
    """Hold the folder against a second installation and yield an empty folder for downloads."""
    download = kafka_folder / ".download"
    with (kafka_folder / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(download, ignore_errors=True)
        download.mkdir()
        try:
            yield download
        finally:
            shutil.rmtree(download, ignore_errors=True)


def intact(path: Path, jar: Jar) -> bool:
    """Whether the file is there and has the jar's SHA-256."""
    return path.is_file() and sha256_of(path) == jar.sha256


def fetch_checked(context: MavenContext, jar: Jar, download: Path, target: Path) -> None:
    """Fetch one jar into the folder `target`, by way of `download`. Raises DownloadFailed, WrongHash."""
    # A copy, since jgo may return a file of another repository on this machine.
    copy = Path(shutil.copyfile(fetch(context, jar.coordinates), download / jar.name))
    actual = sha256_of(copy)
    if actual != jar.sha256:
        raise WrongHash(jar, actual)
    copy.replace(target / jar.name)


def fetch(context: MavenContext, coordinates: str) -> Path:
    """Fetch one jar into the context's cache. Raises DownloadFailed."""
    artifact = context.create_dependency(coordinates).artifact
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return artifact.resolve()
        except requests.RequestException as error:
            reason = in_words(error)
        except RuntimeError:
            reason = "no repository has it"
        # jgo takes every file in its cache for complete, also one that was cut off.
        if artifact.cached_path:
            artifact.cached_path.unlink(missing_ok=True)
    raise DownloadFailed(coordinates, reason)


def in_words(error: requests.RequestException) -> str:
    """Why a request failed, without the URL, which may hold a password."""
    for kind, words in (
        (requests.exceptions.ProxyError, "the proxy can't be reached or refuses"),
        (requests.exceptions.SSLError, "the server's certificate is not trusted here"),
        (requests.exceptions.Timeout, f"no answer within {TIMEOUT_SECONDS} seconds"),
        (requests.exceptions.ChunkedEncodingError, "the connection broke off"),
        (requests.exceptions.ConnectionError, "no connection"),
    ):
        if isinstance(error, kind):
            return words
    return type(error).__name__


def relock() -> None:
    """Resolve the runtime anew and rewrite the lock: later installations must get the files that are fetched now.

    Raises DownloadFailed.
    """
    with tempfile.TemporaryDirectory() as cache:
        context = maven_context(Path(cache))
        server = context.create_dependency(f"{':'.join(SERVER)}:{VERSION}")
        try:
            inputs, transitive = context.resolver.resolve([server])
        except (requests.RequestException, RuntimeError) as error:
            reason = in_words(error) if isinstance(error, requests.RequestException) else "it can't be resolved"
            raise DownloadFailed(str(server), reason) from error
        found = [(d.groupId, d.artifactId, d.version) for d in [*inputs, *transitive] if d.scope != "test"]
        # Kafka's jars log to slf4j and bring log4j-core but not the bridge between them. It is not resolved together
        # with them: jgo would apply its dependency management, which names an older kafka-clients, to all of them.
        log4j = next(version for group, artifact, version in found if artifact == "log4j-core")
        found.append((*LOGGING_BRIDGE, log4j))
        with ThreadPoolExecutor(PARALLEL) as pool:
            paths = pool.map(lambda coordinates: fetch(context, ":".join(coordinates)), found)
            write_lock(Jar(*names, sha256_of(path)) for names, path in zip(found, paths, strict=True))


def progress(line: str) -> None:
    """Show progress: on a terminal in a line that is overwritten, elsewhere only the last line."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="" if line.endswith("fetched") else "\n", flush=True)
    elif not line.endswith("fetched"):
        print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded.install", description="Fetch the Kafka runtime.")
    parser.add_argument("folder", type=Path, nargs="?", help="where to put it: FOLDER/kafka/VERSION")
    parser.add_argument("--relock", action="store_true", help=f"resolve the runtime anew and rewrite {LOCK.name}")
    options = parser.parse_args(arguments)
    if options.relock == bool(options.folder):
        parser.error("give either FOLDER or --relock")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("jgo").addHandler(logging.NullHandler())
    try:
        if options.relock:
            relock()
        else:
            folder, jars = options.folder.resolve(), read_lock()
            install(folder, jars, report=progress)
            with only_installer(folder / "kafka") as empty:
                fast_start.record(folder, jars, empty, progress)
    except OperatorError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}; give a folder that can be written.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
