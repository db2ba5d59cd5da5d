"""Asks a process of this node whether it does what it is for, with the standard library alone.

    python -m node.probe http://127.0.0.1:9100/healthz

For health checks of containers: each check is a process of its own, and importing the whole command for it costs four
times as much processor time as the question (docs/containers.md). `sistercity health` is the same for people.
"""

import json
import sys
import urllib.error
import urllib.request

_MOST_BYTES = 1 << 16


def why_not(url: str, wait_s: float) -> str | None:
    """None if the process says that it is healthy, else one sentence: its reason, or that it does not answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=wait_s):
            return None
    except urllib.error.HTTPError as error:
        return _reason(error.read(_MOST_BYTES)) or f"{url}: {error}"
    except (OSError, ValueError) as error:  # URLError among them
        return f"{url} does not answer: {error}"


def _reason(body: bytes) -> str | None:
    """The reason in the answer of a role, or of the API (a problem)."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    role, why = content.get("role"), content.get("why_not") or content.get("detail")
    return None if why is None else f"{role}: {why}" if role else str(why)


if __name__ == "__main__":
    sentence = why_not(sys.argv[1], wait_s=10)
    print(sentence or "ok")
    sys.exit(sentence is not None)
