"""Agreements and access assertions: what our code says of every vector."""

import pytest

from federation.access.assertion import BadAssertion, check_assertion
from federation.agreements.document import BadAgreement, open_agreement
from federation.agreements.installing import as_installed
from federation.identity.document import open_identity
from federation.wire import instant
from store.agreements import InstallRefused, is_known
from tests.vectors.reading import Read, check, read


@pytest.mark.parametrize("vector", read("agreement"), ids=str)
def test_agreements(vector: Read):
    given = vector.given

    def accept() -> None:
        found = open_agreement(vector.content, now_ms=instant(given["now"]), signatures=given["signatures"])
        if "before" in given:
            before = open_agreement(given["before"].encode(), now_ms=None)
            own = before.parties[0].thumbprint
            assert not is_known([as_installed(before, own)], as_installed(found, own), found.supersedes)

    check(vector, accept, (BadAgreement, InstallRefused))


@pytest.mark.parametrize("vector", [vector for vector in read("assertion") if not vector.given["used"]], ids=str)
def test_assertions(vector: Read):
    now_ms = instant(vector.given["now"])
    issuer = open_identity(vector.given["identity"], pinned=None, now_ms=now_ms)

    def accept() -> object:
        return check_assertion(
            vector.text,
            audience=vector.given["audience"],
            key_of=lambda city, kid: issuer.key_for("access", kid, now_ms) if city == issuer.thumbprint else None,
            now_ms=now_ms,
        )

    check(vector, accept, BadAssertion)
