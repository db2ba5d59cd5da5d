"""Make docs/vectors anew: `python -m tests.vectors.making`. The bytes are the same in every run."""

import json
from pathlib import Path

from tests.vectors import access, agreements, identities, publications
from tests.vectors.signing import KEYS, b64
from tests.vectors.vector import Vector, rendered

FOLDER = Path(__file__).parent.parent.parent / "docs" / "vectors"


def vectors() -> dict[str, list[Vector]]:
    """The vectors of each object, by the name of its file."""
    return {
        "identity": identities.identities(),
        "revocation": identities.revocations(),
        "agreement": agreements.agreements(),
        "catalogue": publications.catalogues(),
        "entry": publications.entries(),
        "body": publications.bodies(),
        "head": publications.heads(),
        "assertion": access.assertions(),
        "audit": access.audit_lines(),
    }


def files() -> dict[str, str]:
    """What each file of the folder must hold, but for its README."""
    keys = [{"name": key.name, "thumbprint": key.thumbprint, "jwk": {**key.jwk, "d": b64(key.seed)}} for key in KEYS]
    texts = {f"{name}.json": rendered(name, of_object) for name, of_object in vectors().items()}
    return {"keys.json": json.dumps({"keys": keys}, indent=1) + "\n", **texts}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="ascii")
