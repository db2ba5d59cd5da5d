"""Files of private keys, and the digits that two people read to each other."""

import json

import pytest

from federation import jose
from federation.identity.fingerprint import digits
from federation.identity.keys import KeyFileError, read_key, write_key
from federation.plain_text import plain


def test_a_key_is_read_back_for_its_use_alone_and_its_file_says_what_it_is(tmp_path):
    path, key = tmp_path / "publish.key", jose.new_key()
    write_key(path, key, "publish", "isfahan")
    assert jose.thumbprint(read_key(path, "publish")) == jose.thumbprint(key)
    assert read_key(path, "publish").is_private
    assert "Private key" in json.loads(path.read_bytes())["what"]
    for use in ("identity", "access"):
        with pytest.raises(KeyFileError, match="holds a key for publish"):
            read_key(path, use)


def test_a_key_is_never_overwritten_also_through_a_link(tmp_path):
    path, link = tmp_path / "identity.key", tmp_path / "link.key"
    write_key(path, jose.new_key(), "identity", "isfahan")
    before = path.read_bytes()
    link.symlink_to(tmp_path / "elsewhere")
    for taken in (path, link):
        with pytest.raises(KeyFileError, match="never overwritten"):
            write_key(taken, jose.new_key(), "identity", "isfahan")
    assert path.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o777, 0o610])
def test_a_key_that_others_can_reach_is_not_used(tmp_path, mode):
    path = tmp_path / "access.key"
    write_key(path, jose.new_key(), "access", "isfahan")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(path, "access")
    path.chmod(0o400)
    read_key(path, "access")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found | {"use": "all"},
        lambda found: found | {"use": ["access"]},
        lambda found: found | {"city": 7},
        lambda found: found | {"key": jose.jwk_of(jose.new_key())},
        lambda found: found | {"key": found["key"] | {"x": jose.jwk_of(jose.new_key())["x"]}},
        lambda found: found | {"key": found["key"] | {"kty": "oct"}},
        lambda found: found | {"key": None},
        lambda found: [],
        lambda found: {},
    ],
)
def test_a_file_that_holds_no_key_of_ours_is_refused_in_words(tmp_path, spoil):
    path = tmp_path / "access.key"
    write_key(path, jose.new_key(), "access", "isfahan")
    path.write_text(json.dumps(spoil(json.loads(path.read_bytes()))))
    with pytest.raises(KeyFileError, match="holds no private key"):
        read_key(path, "access")
    with pytest.raises(KeyFileError, match="can't be read"):
        read_key(tmp_path / "missing.key", "access")


def test_digits_differ_wherever_thumbprints_do_and_are_eight_groups_of_five():
    thumbprints = {jose.thumbprint(jose.new_key()) for _ in range(50)}
    shown = [digits(thumbprint) for thumbprint in thumbprints]
    assert len(set(shown)) == len(thumbprints)
    assert {tuple(map(len, text.split())) for text in shown} == {(5,) * 8}
    assert all(group.isdecimal() for text in shown for group in text.split())
    assert digits("A" * 43) == " ".join(["00000"] * 8)
    assert digits("A" * 41 + "AE") == " ".join(["00000"] * 7 + ["00001"])


@pytest.mark.parametrize("text", ["Esfahān", "مى\u200cخواهم", "Thành phố Hồ Chí Minh", "👩\u200d💻", ""])
def test_texts_of_every_language_are_plain(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    "hidden", ["\x00", "\n", "\x7f", "\x85", "\u061c", "\u200e", "\u202e", "\u2066", "\u2029", "\ud800"]
)
def test_text_that_hides_or_moves_other_text_is_not(hidden):
    with pytest.raises(ValueError, match="U\\+"):
        plain(f"a{hidden}b")
