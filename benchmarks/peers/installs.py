"""What a peer needs, in .sistercity/peers: an environment of its own, or jars and compiled classes.

Jars are fetched by jgo as the lock names them, with their SHA-256, like those of the embedded Kafka; those that the
embedded Kafka has, Kafka Streams takes from there. The compiler is the machine's.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from embedded.install import fetch_checked, intact, maven_context
from embedded.jars import Jar, parse_line
from errors import OperatorError

HERE = Path(__file__).parent
JAVA = HERE / "java"
_PARALLEL = 8


class NotPossible(OperatorError):
    """A peer can't be installed on this machine, in words."""


def java_program(folder: Path, name: str, sources: Sequence[str], more_jars: Sequence[Path] = ()) -> str:
    """The class path of a peer's program, compiled. Raises NotPossible.

    `name` is that of its lock; `sources` are files of the folder java. What stands in java/META-INF goes with it.
    """
    for tool in ("javac", "java"):
        if shutil.which(tool) is None:
            raise NotPossible(f"there is no `{tool}` on the path (any JDK from 17 on)")
    jars = [*_jars(folder / "jars", HERE / f"{name}.lock"), *more_jars]
    classpath = ":".join(map(str, jars))
    digest = hashlib.sha256(classpath.encode())
    for source in sources:
        digest.update((JAVA / source).read_bytes())
    classes = folder / "classes" / f"{name}-{digest.hexdigest()[:12]}"
    if not classes.exists():
        with _unfinished(classes) as made:
            shutil.copytree(JAVA / "META-INF", made / "META-INF")
            files = [str(JAVA / source) for source in sources]
            _run(["javac", "-nowarn", "-d", str(made), "-cp", classpath, *files], f"javac could not compile {name}")
    return f"{classes}:{classpath}"


def python_environment(folder: Path, name: str) -> Path:
    """The interpreter of an environment with what `name`.txt locks. Raises NotPossible."""
    requirements = HERE / f"{name}.txt"
    environment = folder / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not environment.exists():
        with _unfinished(environment) as made:
            _run([sys.executable, "-m", "venv", str(made)], f"no environment could be made for {name}")
            pip = [str(made / "bin/python"), "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
            _run(
                [*pip, "--require-hashes", "-r", str(requirements)],
                f"{name} could not be installed: is there a network?",
            )
    return environment / "bin/python"


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """An empty folder that gets this name when the block has ended without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".", ignore_cleanup_errors=True) as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        yield made
        made.rename(folder)


def _jars(folder: Path, lock: Path) -> list[Path]:
    jars = [parse_line(line) for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not intact(folder / jar.name, jar)]
    if missing:
        print(f"fetching {len(missing)} jars of {lock.name}", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary, ThreadPoolExecutor(_PARALLEL) as pool:
        download = Path(temporary)
        context = maven_context(download / "cache")

        def fetched(jar: Jar) -> None:
            fetch_checked(context, jar, download, folder)

        try:
            list(pool.map(fetched, missing))
        except OperatorError as error:
            raise NotPossible(str(error)) from error
    return [folder / jar.name for jar in jars]


def locked_version(file: str, package: str) -> str:
    """The version of a package in a lock of this folder."""
    found = re.search(rf"\b{package}(?::|==)([^ \n]+)", (HERE / file).read_text())
    assert found is not None, package
    return found[1]


def java_version() -> str:
    """That of the machine's Java; empty if it has none."""
    if shutil.which("java") is None:
        return ""
    said = subprocess.run(["java", "-version"], check=False, capture_output=True, text=True).stderr
    found = re.search(r'version "([^"]+)"', said)
    return found[1] if found else ""


def _run(command: Sequence[str], failed: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-5:]
        # The address of a package index may hold a password.
        raise NotPossible("; ".join([failed, *(line for line in last if "://" not in line)]))
