"""New weights are named by their card."""

from hashlib import sha256
from pathlib import Path

from training.card import describe


def test_only_the_hash_changes(tmp_path: Path) -> None:
    (tmp_path / "plates.onnx").write_bytes(b"weights")
    (tmp_path / "card.toml").write_text('# a card\n[weights]\nsha256 = "old"\nthreshold = 0.5\n')
    describe(tmp_path / "plates.onnx", tmp_path / "card.toml")
    digest = sha256(b"weights").hexdigest()
    assert (tmp_path / "card.toml").read_text() == f'# a card\n[weights]\nsha256 = "{digest}"\nthreshold = 0.5\n'
