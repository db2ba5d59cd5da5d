"""What a node is told by its environment: read once, here, and passed on as plain values."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting is a variable `SISTERCITY_<NAME>`, or a file of that name, in lower case, in /run/secrets."""

    model_config = SettingsConfigDict(
        env_prefix="SISTERCITY_", secrets_dir="/run/secrets" if Path("/run/secrets").is_dir() else None
    )

    city: str | None = Field(None, description="a shipped city (isfahan, ho-chi-minh-city) or the path of a city file")
    home: Path = Field(Path(".sistercity"), description="folder of what is installed and kept on this machine")
    kafka: str | None = Field(None, description="bootstrap servers; without it the embedded Kafka")
    database_url: SecretStr | None = Field(None, description="the city's database; without it the embedded PostgreSQL")
    partitions: int = Field(32, ge=1, le=1024, description="partitions of a topic that is made; never changed later")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of this process's Prometheus metrics; without it none"
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics listen on")
    session_timeout_ms: int = Field(10_000, ge=1_000, description="silence after which a processor counts as gone")
    commit_seconds: float = Field(1.0, gt=0, description="seconds between a processor's commits")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="how much is logged")
    stop_with_stdin: bool = Field(False, description="stop when standard input ends: for whoever starts this process")


@cache
def settings() -> Settings:
    """This process's settings. Raises `pydantic.ValidationError`."""
    return Settings()  # type: ignore[call-arg]  # pydantic gives the defaults, mypy without its plugin sees none
