import math
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras import jpeg, sources
from ingest.cameras.rendered import RenderedCamera
from ingest.cameras.sources import NoSource, PictureFolder, Rendered, VideoFile, open_source
from tests.ingest.cameras import videos
from tests.ingest.cases import case
from tests.soak import soak_only

REAL = Path(__file__).parents[4] / "shared/data/streams/video"
BEGIN = 1_790_000_000_000
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("rate", "interval", "frames"),
    [
        (10.0, 100, range(50)),
        (60.0, 100, range(50)),  # the video's own rate is lower
        (5.0, 200, range(0, 50, 2)),
        (4.0, 250, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38, 40, 43, 45, 48]),
        (1.0, 1000, range(0, 50, 10)),
        (0.1, 10_000, [0]),
    ],
)
def test_a_video_is_sampled_by_its_own_times(rate, interval, frames, tmp_path):
    video = open_source(videos.write(tmp_path / "clip.mp4"), rate)
    shots = list(video.shots(BEGIN))
    assert video.interval_ms == interval
    assert [shot.number for shot in shots] == list(range(len(frames)))
    assert [shot.start_ms for shot in shots] == [BEGIN + frame * 100 for frame in frames]
    assert [videos.number_in(shot.picture) for shot in shots] == list(frames)
    assert video.length_ms == len(frames) * interval


@pytest.mark.parametrize(("rate", "fast", "slow"), [(2.0, 10, 60), (1.0, 5, 60), (0.5, 3, 30)])
def test_frames_of_a_variable_rate_have_their_own_times(rate: float, fast: int, slow: int) -> None:
    """125 frames 40 ms apart, then 60 frames a second apart."""
    video = VideoFile(case("31-video-vfr.mp4"), rate)
    shots = list(video.shots(0))
    assert all(shot.picture for shot in shots)
    starts = [shot.start_ms for shot in shots]
    assert len([start for start in starts if start < 5000]) == fast
    assert len(starts) == fast + slow
    assert starts[:fast] == [-(-number * 1000 // rate // 40) * 40 for number in range(fast)]
    assert {later - start for start, later in pairwise(starts[fast:])} == {max(1000, round(1000 / rate))}


TIMES = st.lists(st.floats(0.1, 5_000), min_size=1, max_size=60)


@given(TIMES, st.sampled_from([0.1, 0.5, 1.0, 2.0, 7.0, 60.0]))
def test_a_picture_is_owed_once_an_interval_and_has_the_time_of_its_frame(steps: list[float], rate: float) -> None:
    times = [0.0, *accumulate(steps)]
    clock = sources.FrameClock(60.0, rate)
    taken = [clock.now_ms for said in times if clock.is_owed(1_000 + said)]
    assert taken == pytest.approx([min(t for t in times if t >= at - 1e-6) for at in taken], abs=1e-6)
    slots = [math.floor((at + 0.5) * rate / 1000) for at in taken]
    assert len(set(slots)) == len(slots)
    assert {math.floor((at + 0.5) * rate / 1000) for at in times} == set(slots)


def test_times_that_stand_still_or_leap_are_replaced_by_the_frame_rate() -> None:
    clock = sources.FrameClock(10.0, 10.0)
    said = [0.0, 100.0, 100.0, 50.0, 150.0, 150.0 + 95_443_717.0, 95_443_967.0]
    assert [clock.now_ms for each in said if clock.is_owed(each)] == [0, 100, 200, 300, 400, 500, 600]


def test_a_rate_of_no_whole_milliseconds_does_not_drift(tmp_path):
    video = VideoFile(videos.write(tmp_path / "clip.mp4", frames=61, rate=30.0), 30.0)
    starts = [shot.start_ms - BEGIN for shot in video.shots(BEGIN)]
    assert (starts[1], starts[30], starts[60]) == (33, 1000, 2000)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("rate", [10.0, 4.0])
def test_a_video_that_was_cut_owes_what_its_header_promised(kept, rate, tmp_path):
    whole = videos.write(tmp_path / "clip.avi", codec="MJPG")
    promised = list(VideoFile(whole, rate).shots(BEGIN))
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * kept)])
    shots = list(VideoFile(whole, rate).shots(BEGIN))
    assert [shot.start_ms for shot in shots] == [shot.start_ms for shot in promised]
    read = [shot for shot in shots if shot.picture]
    whole_ones = len(read) - 1  # of the last one a part may be left
    assert shots[:whole_ones] == promised[:whole_ones]
    assert not any(shot.picture for shot in shots[len(read) :])
    assert 0.5 * kept * len(promised) < len(read) < len(promised)


def test_a_video_that_breaks_in_the_middle_owes_the_rest(tmp_path):
    path = videos.write(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    middle, hole = len(data) // 2, len(data) // 4
    data[middle : middle + hole] = bytes(hole)
    path.write_bytes(data)
    shots = list(VideoFile(path, 10.0).shots(BEGIN))
    assert len(shots) == 50
    read = sum(bool(shot.picture) for shot in shots)
    assert 10 < read < 50
    assert not any(shot.picture for shot in shots[read:])


def test_a_header_that_promises_years_counts_for_an_hour(tmp_path):
    path = videos.write(tmp_path / "clip.avi", codec="MJPG")
    path.write_bytes(videos.promise(path.read_bytes(), 2**31 - 1))
    shots = sum(1 for _ in VideoFile(path, 2.0).shots(BEGIN))
    assert shots == 10 + 3600 * 2


def test_frames_beyond_the_headers_promise_are_read(tmp_path):
    path = videos.write(tmp_path / "clip.avi", codec="MJPG")
    path.write_bytes(videos.promise(path.read_bytes(), 10))
    assert [videos.number_in(shot.picture) for shot in VideoFile(path, 10.0).shots(BEGIN)] == list(range(50))


def without_index(path: Path) -> None:
    """What is left of an MP4 whose recording was interrupted before its index was written."""
    videos.write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("empty.mp4", lambda path: path.write_bytes(b"")),
        ("text.mp4", lambda path: path.write_text("hello\n" * 1000)),
        ("list.m3u8", lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")),
        ("art.ans", lambda path: path.write_text("\x1b[31mhello\n" * 1000)),
        ("picture.jpg", lambda path: path.write_bytes(JPEG)),
        ("only-a-head.mp4", lambda path: path.write_bytes(b"\x00\x00\x00\x1cftypisom" + bytes(500))),
        ("interrupted.mp4", without_index),
        ("absent.mp4", lambda path: None),
        ("folder", lambda path: path.mkdir()),
    ],
)
def test_files_that_are_no_video_are_refused(name, make, tmp_path):
    make(tmp_path / name)
    with pytest.raises(NoSource):
        open_source(tmp_path / name, 2.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, 0.001, 61.0, float("nan"), float("inf")])
def test_a_rate_that_no_window_can_hold_is_refused(rate, tmp_path):
    with pytest.raises(NoSource, match="pictures a second"):
        open_source(videos.write(tmp_path / "clip.mp4", frames=2), rate)


def test_a_video_of_huge_frames_is_not_opened(tmp_path, monkeypatch):
    path = videos.write(tmp_path / "clip.mp4", frames=2)
    monkeypatch.setattr(sources, "MOST_PIXELS", 256 * 96 - 1)
    with pytest.raises(NoSource, match="pixels"):
        VideoFile(path, 2.0)


@pytest.mark.parametrize(
    "name", [pytest.param("intel_car-detection.mp4", marks=soak_only), "opendatacam_frames_30fps.mp4"]
)
def test_a_real_clip_runs_to_its_end(name):
    if not (REAL / name).exists():
        pytest.skip("the shared data does not lie beside this checkout (../shared/data)")
    video = open_source(REAL / name, 5.0)
    shots = list(video.shots(BEGIN))
    assert all(shot.picture.startswith(b"\xff\xd8\xff") for shot in shots)
    assert len(shots) * video.interval_ms == video.length_ms
    assert {"intel_car-detection.mp4": 151, "opendatacam_frames_30fps.mp4": 84}[name] == len(shots)


def test_a_folder_gives_its_images_by_name_whatever_they_are(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    monkeypatch.setattr(sources, "_LARGEST_FILE", 100_000)
    files = {
        "a.jpg": JPEG,
        "b.JPEG": JPEG[: len(JPEG) // 2],
        "c.png": png,
        "d.jpg": png,  # by its contents
        "e.jpg": b"a text",
        "f.png": png[:100],
        "g.png": png[:16] + (20_000).to_bytes(4, "big") * 2 + png[24:],
        "h.jpg": b"",
        "i.bmp": cv2.imencode(".bmp", pixels[..., :3])[1].tobytes(),
        "j.webp": cv2.imencode(".webp", pixels)[1].tobytes(),
        "k.jpg": JPEG + bytes(100_000),
        "notes.txt": b"no image",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    folder = open_source(tmp_path, 0.1)
    shots = list(folder.shots(BEGIN))
    assert folder.interval_ms == 10_000
    assert folder.length_ms == 110_000
    assert [shot.start_ms for shot in shots] == [BEGIN + 10_000 * number for number in range(11)]
    pictures = dict(zip("abcdefghijk", (shot.picture for shot in shots), strict=True))
    assert pictures["a"] == JPEG
    assert pictures["b"] == JPEG[: len(JPEG) // 2]
    assert {name for name, picture in pictures.items() if not picture} == set("efghk")
    for name in "cdij":
        assert cv2.imdecode(np.frombuffer(pictures[name], np.uint8), cv2.IMREAD_UNCHANGED).shape == (20, 30, 3)


def test_a_file_that_vanishes_is_an_empty_picture(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(JPEG)
    folder = PictureFolder(tmp_path, 1.0)
    (tmp_path / "a.jpg").unlink()
    assert [bool(shot.picture) for shot in folder.shots(BEGIN)] == [False, True]


def test_a_rendered_camera_is_a_source_like_others():
    camera = RenderedCamera(1, "VN", rate=4.0)
    source = Rendered(camera, 6)
    shots = list(source.shots(BEGIN))
    assert (source.interval_ms, source.length_ms) == (250, 1500)
    assert [shot.start_ms - BEGIN for shot in shots] == [0, 250, 500, 750, 1000, 1250]
    assert [shot.picture for shot in shots] == [jpeg.encoded(camera.frame(number)) for number in range(6)]
