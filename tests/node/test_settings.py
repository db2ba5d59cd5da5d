"""Settings that do not fit together are one sentence; secrets are files and are never shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from eventlog.confluent import ConfluentLog
from eventlog.kafka import KafkaLog
from node import settings, wiring
from node.doctor.examination import examine
from node.explain import explain
from node.settings import Settings, SettingsError
from store.database import url_of


@pytest.fixture
def given(monkeypatch):
    """Reads settings from nothing but what the test gives, by name."""
    for name in os.environ:
        if name.startswith("SISTERCITY_"):
            monkeypatch.delenv(name)

    def read(*, secrets: Path | None = None, **values: str) -> Settings:
        for name, value in values.items():
            monkeypatch.setenv(f"SISTERCITY_{name.upper()}", value)
        return Settings(_secrets_dir=secrets)  # type: ignore[call-arg]

    return read


SCRAM = {"kafka": "k:1", "kafka_sasl_mechanism": "SCRAM-SHA-512", "kafka_username": "u", "kafka_password": "geheim"}


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_a_user_goes_with_a_protocol_that_knows_users(protocol, given):
    found = given(**SCRAM, kafka_security_protocol=protocol)
    assert found.kafka_password is not None
    assert found.kafka_password.get_secret_value() == "geheim"
    assert "geheim" not in repr(found)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (SCRAM, "PLAINTEXT knows no users, but there is SISTERCITY_KAFKA_SASL_MECHANISM, SISTERCITY_KAFKA_USERNAME"),
        ({**SCRAM, "kafka_security_protocol": "SSL"}, "SSL knows no users"),
        ({"kafka": "k:1", "kafka_security_protocol": "SASL_SSL"}, "needs SISTERCITY_KAFKA_SASL_MECHANISM, SISTERCITY_"),
        ({**SCRAM, "kafka_security_protocol": "SASL_SSL", "kafka_password": ""}, "needs SISTERCITY_KAFKA_PASSWORD"),
        ({"kafka": "k:1", "kafka_ca_file": __file__}, "knows no TLS, but there is SISTERCITY_KAFKA_CA_FILE"),
        (
            {**SCRAM, "kafka_security_protocol": "SASL_PLAINTEXT", "kafka_cert_file": __file__},
            "knows no TLS, but there is SISTERCITY_KAFKA_CERT_FILE",
        ),
        (
            {"kafka": "k:1", "kafka_security_protocol": "SSL", "kafka_key_file": __file__},
            "SISTERCITY_KAFKA_KEY_FILE goes with SISTERCITY_KAFKA_CERT_FILE",
        ),
        ({"kafka_security_protocol": "SSL"}, "goes with SISTERCITY_KAFKA, which is not set"),
        ({"database_password": "geheim"}, "goes with SISTERCITY_DATABASE_URL"),
    ],
)
def test_what_does_not_fit_together_is_said_without_the_secret(values, words, given):
    with pytest.raises(ValidationError) as wrong:
        given(**values)
    [error] = wrong.value.errors()
    assert words in error["msg"]
    assert "geheim" not in str(wrong.value)


def test_a_file_that_is_not_there_is_named_with_its_setting_and_what_to_do(monkeypatch):
    monkeypatch.setenv("SISTERCITY_PARTNER_CA_FILE", "/no/such/file")
    with pytest.raises(
        SettingsError, match=r"^SISTERCITY_PARTNER_CA_FILE names /no/such/file, .*: correct the setting"
    ):
        settings.read_again()
    settings.settings.cache_clear()


def test_an_empty_variable_counts_as_not_set(given):
    found = given(metrics_port="", kafka_username="", partitions="")
    assert (found.metrics_port, found.kafka_username, found.partitions) == (None, None, 32)


def test_a_setting_may_be_a_file_in_the_folder_of_secrets_and_a_variable_beats_it(given, tmp_path):
    (tmp_path / "sistercity_kafka_password").write_text("from the file\n")
    (tmp_path / "sistercity_kafka_username").write_text("from the file\n")
    (tmp_path / "sistercity_unknown").write_text("nobody's")
    values = {"kafka": "k:1", "kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"}
    found = given(**values, kafka_username="from the variable", secrets=tmp_path)
    assert found.kafka_password is not None
    assert found.kafka_password.get_secret_value() == "from the file"
    assert found.kafka_username == "from the variable"


def test_an_operator_reads_one_sentence(tmp_path: Path):
    environment = {**os.environ, "SISTERCITY_KAFKA_PASSWORD": "geheim", "SISTERCITY_CITY": "isfahan"}
    command = [sys.executable, "-m", "node", "topics", "plan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "sistercity: SISTERCITY_KAFKA_SECURITY_PROTOCOL=PLAINTEXT knows no users, but there is"
        " SISTERCITY_KAFKA_PASSWORD; use SASL_SSL\n"
    )
    assert "geheim" not in done.stdout


def test_every_setting_is_in_the_operators_list_with_its_default():
    text = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| `SISTERCITY_{name.upper()}` |")]
        default = row.split("|")[2].strip(" `")
        if field.default is not None:
            assert default == str(field.default).replace("False", "false"), name
        else:
            assert default in ("none", "embedded", "the system's", "the certificate's", "in the home"), name


def test_a_password_in_a_file_is_read_again_for_each_connection(given, tmp_path, monkeypatch):
    monkeypatch.setenv("SISTERCITY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SISTERCITY_DATABASE_URL", "postgresql://keeper@localhost/city")
    settings.settings.cache_clear()
    secret = tmp_path / "sistercity_database_password"
    secret.write_text("first")
    url = wiring.database_url()
    assert "password=first" in url_of(url)
    secret.write_text("second")
    assert "password=second" in url_of(url)
    settings.settings.cache_clear()


def test_a_secret_that_cannot_be_read_is_named_in_words(given, tmp_path, monkeypatch):
    def unreadable(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "sistercity_database_password").write_text("first")
    monkeypatch.setenv("SISTERCITY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr(Path, "read_text", unreadable)  # root, as whom the suite may run, reads everything
    settings.settings.cache_clear()
    with pytest.raises(PermissionError) as error:
        settings.settings()
    told = explain(error.value)
    assert told.startswith(f"{tmp_path}/sistercity_database_password: Permission denied: this process runs as user")
    assert "chmod 644" in told
    settings.settings.cache_clear()


def test_the_client_of_kafka_is_the_one_that_is_set(given, monkeypatch):
    for name, kind in {"kafka-python": KafkaLog, "confluent-kafka": ConfluentLog}.items():
        monkeypatch.setattr(wiring, "settings", lambda name=name: given(kafka="127.0.0.1:9", kafka_client=name))
        assert type(wiring.log()) is kind


def test_without_the_extra_the_fast_client_is_refused_with_the_remedy(given, monkeypatch):
    monkeypatch.setattr(wiring, "settings", lambda: given(kafka="127.0.0.1:9", kafka_client="confluent-kafka"))
    monkeypatch.setitem(sys.modules, "eventlog.confluent", None)
    with pytest.raises(wiring.CommandError, match=r"sistercity\[fast\]"):
        wiring.log()


def test_a_name_that_is_almost_a_setting_is_told_with_the_setting(given, monkeypatch, tmp_path):
    (tmp_path / "sistercity_kafka_pasword").write_text("geheim")
    (tmp_path / "sistercity_cell_days").write_text("0")
    given(secrets_dir=str(tmp_path), partner_cafile="x.pem", processors="2", citty="isfahan")
    assert dict(settings.misspelled()) == {
        "SISTERCITY_PARTNER_CAFILE": "SISTERCITY_PARTNER_CA_FILE",
        "SISTERCITY_CITTY": "SISTERCITY_CITY",
        f"{tmp_path}/sistercity_kafka_pasword": "sistercity_kafka_password",
    }
    monkeypatch.setenv("SISTERCITY_HOME", str(tmp_path / "home"))
    settings.settings.cache_clear()
    found = [each for each in examine() if each.what == "settings"]
    assert [each.level for each in found] == ["warn"] * 3
    assert found[1].words == "nothing reads SISTERCITY_CITTY: is SISTERCITY_CITY meant?"
    settings.settings.cache_clear()
