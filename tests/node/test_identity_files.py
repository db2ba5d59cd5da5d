"""Where online keys are looked for, and that a key which is named must be there."""

import pytest

from federation import jose
from federation.identity.keys import KeyFileError, old_file, write_key
from node.identity_files import key_path, online_keys
from node.settings import settings


@pytest.fixture(autouse=True)
def _fresh_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("SISTERCITY_HOME", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


def thumbprints(use):
    return [jose.thumbprint(key) for key in online_keys(use)]


def test_keys_are_in_the_home_and_the_one_before_a_rotation_beside_it(tmp_path):
    assert online_keys("publish") == []
    key, old = jose.new_key(), jose.new_key()
    key_path("publish").parent.mkdir()
    write_key(key_path("publish"), key, "publish", "town")
    write_key(old_file(key_path("publish")), old, "publish", "town")
    assert thumbprints("publish") == [jose.thumbprint(key), jose.thumbprint(old)]
    assert online_keys("access") == []


def test_a_key_file_that_a_setting_names_must_be_there_and_be_of_its_use(monkeypatch, tmp_path):
    file = tmp_path / "elsewhere.key"
    monkeypatch.setenv("SISTERCITY_ACCESS_KEY", str(file))
    settings.cache_clear()
    with pytest.raises(KeyFileError, match="SISTERCITY_ACCESS_KEY names"):
        online_keys("access")
    write_key(file, jose.new_key(), "publish", "town")
    with pytest.raises(KeyFileError, match="holds a key for publish"):
        online_keys("access")
