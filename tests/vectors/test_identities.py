"""Identity documents and revocations: what our code says of every vector."""

import pytest

from federation.identity.document import BadIdentity, newer, open_identity, open_revocation
from federation.wire import instant
from tests.vectors.reading import Read, check, read


@pytest.mark.parametrize("vector", read("identity"), ids=str)
def test_identity_documents(vector: Read):
    def accept() -> None:
        known = vector.given.get("known")
        opened = open_identity(vector.text, pinned=vector.given["pinned"], now_ms=instant(vector.given["now"]))
        newer(None if known is None else open_identity(known, pinned=None, now_ms=None), opened)

    check(vector, accept, BadIdentity)


@pytest.mark.parametrize("vector", read("revocation"), ids=str)
def test_revocations(vector: Read):
    check(vector, lambda: open_revocation(vector.text, pinned=vector.given["pinned"]), BadIdentity)
