"""Files of every kind given to `sistercity plates`: read by what they hold, or one sentence; never much memory."""

import os
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from node import picture_files
from node.commands.plates import app
from node.picture_files import open_video, read_picture
from node.wiring import CommandError
from tests.ingest.cameras import videos
from tests.processors.plates.jpegs import four_inks, jpeg, png, resized, scene

WHOLE = jpeg()
ALPHA = png(np.dstack((scene(), scene()[..., 0])))
BMP, WEBP = (cv2.imencode(ending, scene())[1].tobytes() for ending in (".bmp", ".webp"))
PICTURES = {
    "jpeg.jpg": WHOLE,
    "jpeg.png": WHOLE,
    "jpeg.txt": WHOLE,
    "png.png": png(scene()),
    "png.jpg": png(scene()),
    "alpha.png": ALPHA,
    "alpha.jpg": ALPHA,
    "grey.jpg": jpeg(scene()[..., 0]),
    "grey.png": png(scene()[..., 0]),
    "deep.png": png(scene().astype(np.uint16) << 8),
    "inks.jpg": four_inks(scene()[..., 0]),
    "bmp.jpg": BMP,
    "webp.jpg": WEBP,
}
SIDE = (10_000).to_bytes(4, "big")
BAD = {
    "cut.jpg": (WHOLE[:2_000], "can't be read: cut"),
    "cut.png": (png(scene())[:5_000], "can't be read: it is damaged"),
    "cut-png.jpg": (ALPHA[:5_000], "can't be read: it is damaged"),
    "head.png": (ALPHA[:20], "is no picture"),
    "cut.bmp": (BMP[:5_000], "can't be read: it is damaged"),
    "cut.webp": (WEBP[:500], "can't be read: it is damaged"),
    "nothing.jpg": (b"", "is no picture"),
    "nothing.png": (b"", "is no picture"),
    "text.jpg": (b"a text\n" * 99, "is no picture"),
    "gif.jpg": (b"GIF89a" + bytes(500), "is no picture"),
    "tiff.jpg": (b"II*\0" + bytes(500), "is no picture"),
    "zero.jpg": (resized(WHOLE, 0, 160), "can't be read: zero-size"),
    "zero.png": (ALPHA[:16] + bytes(8) + ALPHA[24:], "can't be read: zero-size"),
    "bomb.jpg": (resized(WHOLE, 10_000, 10_000), "can't be read: too-large"),
    "bomb.png": (ALPHA[:16] + SIDE + SIDE + ALPHA[24:], "can't be read: too-large"),
    "bomb-png.jpg": (ALPHA[:16] + SIDE + SIDE + ALPHA[24:], "can't be read: too-large"),
    "bomb.bmp": (BMP[:18] + SIDE[::-1] + SIDE[::-1] + BMP[26:], "can't be read: too-large"),
    "inks-bomb.jpg": (resized(four_inks(scene()[..., 0]), 10_000, 10_000), "can't be read: too-large"),
    "video.jpg": (None, "is no picture"),
}


def file(folder: Path, name: str, data: bytes | None) -> Path:
    path = folder / name
    if data is None:
        videos.write(folder / "clip.mp4", frames=2).rename(path)
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_by_its_contents(name: str, tmp_path: Path) -> None:
    pixels = read_picture(file(tmp_path, name, PICTURES[name]))
    assert (pixels.dtype, pixels.shape) == (np.uint8, scene().shape)
    if not name.startswith(("grey", "inks")):
        assert np.abs(pixels.astype(int) - scene()).mean() < 12


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_picture_is_an_error_in_bounded_memory(name: str, tmp_path: Path) -> None:
    data, words = BAD[name]
    path = file(tmp_path, name, data)
    tracemalloc.start()
    try:
        with pytest.raises(CommandError) as caught:
            read_picture(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{name} {words}")
    assert most < 8 << 20


@pytest.mark.parametrize("name", [name for name in BAD if "bomb" in name])
def test_a_bomb_is_never_decoded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(cv2, "imread", None)
    with pytest.raises(CommandError, match="too-large"):
        read_picture(file(tmp_path, name, BAD[name][0]))


def test_endless_and_very_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zeros.jpg", "absent.jpg"):
        with pytest.raises(CommandError, match=f"{name} is no file"):
            read_picture(tmp_path / name)
    monkeypatch.setattr(picture_files, "_LARGEST_FILE", len(WHOLE) - 1)
    with pytest.raises(CommandError, match=r"whole\.jpg is larger than"):
        read_picture(file(tmp_path, "whole.jpg", WHOLE))


@pytest.mark.parametrize("name", BAD)
def test_every_command_reports_an_unreadable_picture(name: str, tmp_path: Path) -> None:
    data, words = BAD[name]
    path = file(tmp_path, name, data)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"image,x,y,w,h,kind\n{name},1,1,9,9,car\n")
    for arguments in (
        ("detect", path, "--csv", tmp_path / "out.csv"),
        ("blur", path, tmp_path / "out.png"),
        ("eval", labels, "--images", tmp_path),
    ):
        error = CliRunner().invoke(app, [str(argument) for argument in arguments]).exception
        assert isinstance(error, CommandError)
        assert str(error).startswith(f"{name} {words}")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("jpeg.mp4", WHOLE),
        ("text.mp4", b"a text\n" * 999),
        ("list.mp4", b"#EXTM3U\nfile:///etc/hostname\n"),
        ("concat.mkv", b"ffconcat version 1.0\nfile /etc/hostname\n"),
        ("nothing.avi", b""),
    ],
)
def test_a_file_that_is_no_video_is_an_error(name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is no video that can be read"):
        open_video(file(tmp_path, name, data))


def test_a_video_of_huge_frames_is_not_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.cameras.sources.MOST_PIXELS", 256 * 96 - 1)
    with pytest.raises(CommandError, match="pixels"):
        open_video(videos.write(tmp_path / "clip.mp4", frames=2))
