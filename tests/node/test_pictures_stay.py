"""Pixels become a file, or bytes that could, in few places; whoever adds one has to say here what for."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    *("addresses", "api", "embedded", "errors", "eventlog", "federation", "ingest", "node", "processors", "schemas"),
    "store",
)
ENCODING = {"VideoWriter", "imencode", "imencodemulti", "imwrite", "imwriteanimation", "imwritemulti"}
PLACES = {
    ("ingest/cameras/jpeg.py", "imencode"): "what a camera sends, for the topic of frames",
    ("node/commands/debug_picture.py", "imencode"): "the debug picture: blurred and entered first",
    ("node/commands/plates.py", "imwrite"): "an operator's own file, blurred",
    ("node/commands/plates.py", "VideoWriter"): "an operator's own video, blurred",
}


def test_only_listed_modules_encode_pixels():
    found = {
        (path.relative_to(ROOT).as_posix(), node.attr if isinstance(node, ast.Attribute) else node.id)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in ENCODING)
        or (isinstance(node, ast.Name) and node.id in ENCODING)
    }
    assert found == set(PLACES)
