"""What a peer needs, in .sistercity/peers: an environment of its own, or jars and compiled classes.

Jars are fetched by jgo as the lock names them, with their SHA-256, like those of the embedded Kafka; those that the
embedded Kafka has, Kafka Streams takes from there. The compiler is the machine's.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
        unfinished = classes.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(JAVA / "META-INF", unfinished / "META-INF")
        files = [str(JAVA / source) for source in sources]
        _run(["javac", "-nowarn", "-d", str(unfinished), "-cp", classpath, *files], f"javac could not compile {name}")
        unfinished.rename(classes)
    return f"{classes}:{classpath}"


def python_environment(folder: Path, name: str) -> Path:
    """The interpreter of an environment with what `name`.txt locks. Raises NotPossible."""
    requirements = HERE / f"{name}.txt"
    environment = folder / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not environment.exists():
        unfinished = environment.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(unfinished)], f"no environment could be made for {name}")
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
            str(requirements),
        ]
        _run([str(unfinished / "bin/python"), *install], f"{name} could not be installed: is there a network?")
        unfinished.rename(environment)
    return environment / "bin/python"


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


def _run(command: Sequence[str], failed: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-5:]
        # The address of a package index may hold a password.
        raise NotPossible("; ".join([failed, *(line for line in last if "://" not in line)]))
