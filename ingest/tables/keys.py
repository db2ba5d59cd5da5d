"""Tables of TOML whose values are read with their types checked, and whose unknown keys are named."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any


class WrongKey(Exception):
    """What is wrong with a key, before the file is named."""


class TomlKeys:
    """The keys of one table of a profile; `label` names it in error messages. Raises `WrongKey` for what is wrong."""

    def __init__(self, label: str, values: object, allowed: Collection[str]) -> None:
        if not isinstance(values, dict):
            raise WrongKey(f"{label} must be a table")
        if unknown := sorted(set(values) - set(allowed)):
            raise WrongKey(f"{label} has the unknown key {unknown[0]}; it may have {', '.join(sorted(allowed))}")
        self.label = label
        self._values: dict[str, Any] = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def wrong(self, key: str, words: str) -> WrongKey:
        """An error about a key."""
        return WrongKey(f"{self.label} has {key} = {self._values.get(key)!r}: {words}")

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty, unless the default is; a key without a default must be there."""
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key)
        if not isinstance(value, str) or not value:
            raise WrongKey(f"{self.label} needs {key}, a text")
        return value

    def any_text(self, key: str, default: str) -> str:
        """A text that may be empty."""
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "it must be a text")
        return value

    def one_of(self, key: str, allowed: Collection[str], default: str | None = None) -> str:
        """A text that is one of these."""
        value = self.text(key, default)
        if value not in allowed and not (default is not None and value == default):
            raise self.wrong(key, f"it must be one of {', '.join(sorted(allowed))}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "it must be true or false")
        return value

    def whole(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number in a range."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"it must be a whole number from {least} to {most}")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A text, or a list of texts; they may be empty."""
        value = self._values.get(key, default)
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not value or not all(isinstance(item, str) for item in value):
            if key not in self._values and default is not None:
                return tuple(default)
            raise self.wrong(key, "it must be a text or a list of texts")
        return tuple(value)

    def secret(self, key: str, beside: Path) -> str:
        """What is in a file that the key names, relative to a folder."""
        try:
            return (beside / self.text(key)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self.wrong(key, f"it cannot be read: {error}") from None

    def names(self, key: str) -> Mapping[str, str]:
        """A table of texts."""
        value = self._values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) and item for item in value.values()):
            raise self.wrong(key, "it must be a table of texts")
        return value

    def table(self, key: str, allowed: Collection[str]) -> "TomlKeys | None":
        """A table within this one, if it is there."""
        return TomlKeys(f"[{key}]", self._values[key], allowed) if key in self._values else None

    def tables(self, key: str, allowed: Collection[str]) -> Sequence["TomlKeys"]:
        """A list of tables."""
        values = self._values.get(key, [])
        if not isinstance(values, list):
            raise WrongKey(f"[[{key}]] must be a list of tables")
        return [TomlKeys(f"[[{key}]] number {number}", value, allowed) for number, value in enumerate(values, 1)]
