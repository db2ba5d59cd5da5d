"""What the doctor says of the city's identity."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from federation import jose
from federation.identity.changes import OnlineUse, next_version, revoked, rotated
from federation.identity.document import open_identity
from federation.identity.keys import write_key
from node.doctor.identity import IdentityState, judge_identity, read_identity
from node.identity_files import identity_key_path, key_path
from node.settings import settings
from store.agreements import install
from store.database import connect
from store.identities import save_identity, save_own_identity, save_revocation
from tests.federation.identity.cities import DAY, NOW, SigningCity, online
from tests.federation.talking import TalkingCity, agreed

CITY, NEW = SigningCity(), SigningCity()
HELD: Mapping[OnlineUse, tuple[str, ...]] = {
    "publish": (jose.thumbprint(CITY.publish),),
    "access": (jose.thumbprint(CITY.access),),
}


def opened(document: str):
    return open_identity(document, pinned=CITY.thumbprint, now_ms=None)


STATE = IdentityState(opened(CITY.document()), False, {"hue": NOW + 90 * DAY}, held=HELD)
ROTATED = opened(
    next_version(
        CITY.identity, STATE.installed, NOW, keys=rotated(STATE.installed, online("access", NEW.access), 7 * DAY)
    )
)
REVOKED = opened(
    next_version(
        CITY.identity, STATE.installed, NOW, revocations=revoked(STATE.installed, HELD["publish"], NOW, "stolen")
    )
)


def trouble(state: IdentityState, now_ms: int = NOW):
    return [(found.level, found.what, found.words) for found in judge_identity(state, now_ms) if found.level != "ok"]


def test_an_identity_with_time_left_and_its_keys_is_ok_and_so_is_none_where_nothing_is_exchanged():
    assert [found.what for found in judge_identity(STATE, NOW)] == ["identity", "publish key", "access key"]
    assert trouble(STATE) == trouble(IdentityState(None, False, {})) == []
    assert trouble(replace(STATE, held={"publish": (), "access": ()})) == []


@pytest.mark.parametrize(
    ("changed", "after", "level", "what", "words"),
    [
        (
            {"partners": {"hue": None, "linz": NOW + DAY}},
            0,
            "warn",
            "partners' identities",
            "hue: no identity document is here; does",
        ),
        (
            {"partners": {"hue": NOW, "linz": NOW + DAY}},
            0,
            "warn",
            "partners' identities",
            "hue: its document has expired; does",
        ),
        ({}, 76 * DAY + 1, "warn", "identity", "expires in 13 days"),
        ({"partners": {}}, 90 * DAY, "fail", "identity", "has expired"),
        ({"revoked": True}, 0, "fail", "identity", "revoked"),
        ({"made": ROTATED}, 0, "warn", "identity", "version 2 was made here"),
        ({"installed": None}, 0, "fail", "identity", "the node does not know who it is"),
        ({"installed": None, "partners": {}, "made": STATE.installed}, 0, "warn", "identity", "not imported"),
        ({"identity_key": Path("identity.key")}, 0, "warn", "identity key", "no server is"),
        ({"unguarded": ("chmod 600 publish.key",)}, 0, "fail", "identity's keys", "chmod 600"),
        ({"held": {**HELD, "access": ("a" * 43,)}}, 0, "fail", "access key", "import the newest document"),
        ({"installed": REVOKED}, 0, "fail", "publish key", "not revoked"),
        ({"installed": ROTATED}, 0, "warn", "access key", "valid for 7 more days"),
    ],
)
def test_what_is_wrong_with_an_identity_is_said_with_what_to_do(changed, after, level, what, words):
    [found] = trouble(replace(STATE, **changed), NOW + after)
    assert found[:2] == (level, what)
    assert words in found[2]


def test_a_rotated_key_that_is_at_hand_is_no_trouble():
    both: Mapping[OnlineUse, tuple[str, ...]] = {**HELD, "access": (*HELD["access"], jose.thumbprint(NEW.access))}
    assert trouble(replace(STATE, installed=ROTATED, held=both)) == []


@pytest.mark.services
def test_the_state_is_read_from_the_database_and_the_files(database_url, monkeypatch, tmp_path):
    monkeypatch.setenv("SISTERCITY_HOME", str(tmp_path))
    settings.cache_clear()
    try:
        assert read_identity(database_url, 5) == IdentityState(None, False, {}, held={"publish": (), "access": ()})
        document, hue, linz = CITY.document(), TalkingCity("hue"), TalkingCity("linz")
        with connect(database_url) as connection:
            install(connection, agreed(hue, "", own=CITY.thumbprint, valid_until=2**42), None)
            install(connection, agreed(linz, "", own=CITY.thumbprint, valid_until=2**42, id="B" * 22), None)
            save_identity(connection, hue.keys.thumbprint, "hue", 1, hue.identity, NOW + 90 * DAY)
            save_own_identity(connection, CITY.thumbprint, "isfahan", 1, document, NOW + 90 * DAY)
        identity_key_path().parent.mkdir()
        write_key(identity_key_path(), CITY.identity, "identity", "isfahan")
        write_key(key_path("access"), CITY.access, "access", "isfahan")
        state = read_identity(database_url, 5)
        assert (state.installed, state.revoked, state.identity_key) == (opened(document), False, identity_key_path())
        assert state.partners == {"hue": NOW + 90 * DAY, "linz": None}
        assert state.held == {**HELD, "publish": ()}
        with connect(database_url) as connection:
            save_revocation(connection, CITY.thumbprint, "statement")
        key_path("access").chmod(0o644)
        state = read_identity(database_url, 5)
        assert ("chmod 600" in state.unguarded[0], state.held, state.revoked, state.partners) == (True, {}, True, {})
    finally:
        settings.cache_clear()
