"""Pictures per second of one core, from Kafka to plate regions in Kafka, beside the parts of that work in the same run.

`sistercity detect` as it is: poll, Avro, decoding, network, Avro, send, commit, in one process with one OpenCV thread.
`frames_per_s_per_core` is pictures over the seconds of processor time, user and system, of all threads of the process,
which other work on the machine disturbs least; `frames_per_s` is by the clock. Each is measured from the
assignment of the partitions to the last commit. The parts are measured in turns with it, in milliseconds a picture: a
bare poll of the same topic; decoding, at the scale that the detector needs and at full scale; the network, from pixels
to regions. `other` is the rest: Avro, hashes, sending, committing, waiting.

Rendered cameras supply the pictures, no two of them the same: repeated ones would be discarded as stale. Drawing and
producing them, starting up and joining the group are not measured. The result is checked outside the timed part: every
picture must have been processed and acknowledged.

It doesn't measure a network between machines, real cameras' pictures (which may hold more regions), RTSP, more than one
process, nor how well plates are found.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Event

import cv2

from benchmarks.result import SOFTWARE, MeasuredRun, MeasuredSystem, Measuring, ResultTable, peak_mb
from benchmarks.timed import Spent, TimedStore, bare_poll, now, own_services
from embedded.services import Services
from eventlog.kafka import KafkaLog
from ingest.cameras.jpeg import encoded
from ingest.cameras.rendered import RenderedCamera
from node.plate_detection import detect_function, detector_record, prepare_opencv
from processors.frame_fold import FrameFoldFactory
from processors.plan import Plan
from processors.plates.jpeg_decoding import decode_picture, decode_reduced
from processors.plates.network import NetworkDetector, card
from processors.region_output import RegionOutput
from processors.runner import Runner
from schemas.catalogue import sent_in
from schemas.frames import Frame, encode_frame
from schemas.topics import DEFAULT_PARTITIONS, FRAMES, REGIONS, live, settings
from store.accounts import stream_accounts
from store.database import connect, create_database
from store.deliveries import totals
from store.migrations import migrate

CAMERAS = 16
COUNTRIES = ("VN", "IR")
RATE = 2.0
AT_ONCE = 50
"""As `sistercity detect` polls."""
SAMPLE = 100
"""Pictures whose decoding and network are measured alone, in each round."""
KEPT = {"retention.ms": "86400000"}
"""Every round reads the same pictures, which Kafka would otherwise delete after minutes."""


@dataclass(frozen=True, slots=True)
class FramesWorkload:
    """The pictures in the topic `frames`, all of the same size; `width` and `height` in pixels."""

    width: int
    height: int
    frames: str
    regions: str
    pictures: int
    bytes: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds for each picture: of all the work, and of its parts."""

    detect: Spent
    poll: Spent
    decode: Spent
    decode_full: Spent
    network: Spent

    @property
    def other(self) -> Spent:
        return self.detect - self.poll - self.decode - self.network


def drawn(width: int, height: int, pictures: int) -> Iterator[Frame]:
    """Pictures of several cameras in turns, as they would send them now."""
    metric = sent_in(REGIONS)[0]
    interval = round(1000 / RATE)
    begin = time.time_ns() // 1_000_000 - pictures * interval
    cameras = [RenderedCamera(n, COUNTRIES[n % len(COUNTRIES)], width, height, RATE) for n in range(CAMERAS)]
    for number in range(pictures):
        camera, frame = number % CAMERAS, number // CAMERAS
        yield Frame(
            metric=metric.name,
            area=camera + 1,
            class_=metric.classes[0],
            interval=interval,
            start=begin + frame * interval,
            camera=camera,
            contributor=camera,
            picture=encoded(cameras[camera].frame(frame)),
        )


def fill(log: KafkaLog, width: int, height: int, pictures: int) -> FramesWorkload:
    """Draw pictures and send them to a topic of their own."""
    city = f"bench-{width}x{height}"
    frames, regions = live(city, FRAMES), live(city, REGIONS)
    log.create(frames, DEFAULT_PARTITIONS, {**settings(FRAMES), **KEPT})
    log.create(regions, DEFAULT_PARTITIONS, settings(REGIONS))
    writer, size = log.writer(), 0
    for frame in drawn(width, height, pictures):
        size += len(frame.picture or b"")
        writer.send(frames, b"%d" % frame.camera, encode_frame(frame), 1)
    writer.close()
    return FramesWorkload(width, height, frames, regions, pictures, size)


def detect(log: KafkaLog, group: str, workload: FramesWorkload, database_url: str) -> Spent:
    """Time to detect regions in every picture, until all are acknowledged and committed."""
    store = TimedStore(database_url)
    plan = Plan(group, accept_gap=True, until_caught_up=True, at_once=AT_ONCE, piece=1)
    with closing(RegionOutput(log, store, workload.frames, workload.regions, detector_record())) as output:
        folds = FrameFoldFactory(workload.frames, output, detect_function())
        Runner(log, store, folds, plan, after_commit=output.send_ticks).run(Event())
    store.close()
    return store.spent


def check(database_url: str, workload: FramesWorkload) -> None:
    """Exit unless every picture was processed, none discarded, and the regions of each were acknowledged."""
    with connect(database_url) as connection:
        [stream] = [stream for stream in stream_accounts(connection) if stream.topic == workload.frames]
        sent = totals(connection)[workload.regions]
    account = stream.account
    if not account.balanced() or not account.readings == account.aggregated == sent.readings == workload.pictures:
        sys.exit(f"the account is wrong: {account}, {sent.readings} of {workload.pictures} pictures sent on")


def parts(pictures: Sequence[bytes]) -> tuple[Spent, Spent, Spent]:
    """Time to decode all pictures at the detector's scale, at full scale, and for the network, one after another."""
    network = NetworkDetector()
    scaled = full = detected = Spent()
    found = 0
    for data in pictures:
        begin = now()
        picture = decode_reduced(data, network.longest_side)
        decoded = now()
        found += len(network.detect(picture.pixels, picture.shape))
        ended = now()
        decode_picture(data)
        scaled, detected, full = scaled + (decoded - begin), detected + (ended - decoded), full + (now() - ended)
    if not found:
        sys.exit("no region was found in any picture: the network did not have its usual work")
    return scaled, full, detected


def measure(
    running: Services, width: int, height: int, pictures: int, rounds: int
) -> tuple[MeasuredSystem, Mapping[str, object]]:
    """Fill a topic once, then measure detection and its parts in turns. Returns detection, and its parts in a row."""
    log = KafkaLog(running.kafka)
    workload = fill(log, width, height, pictures)
    sample = [frame.picture or b"" for frame in drawn(width, height, min(SAMPLE, pictures))]
    print(f"{workload.pictures:,} pictures of {workload.size}, {workload.bytes / 1e6:,.0f} MB", flush=True)
    measured = []
    for number in range(rounds + 1):
        measured_round = measure_round(running, log, workload, sample, number)
        if number:  # not the first round, which warms up
            measured.append(measured_round)
            print(describe(measured_round), flush=True)
    return summary(workload, measured)


def measure_round(
    running: Services, log: KafkaLog, workload: FramesWorkload, sample: Sequence[bytes], number: int
) -> Round:
    """Measure the bare poll, detection and its parts, one directly after another."""
    url = create_database(running.database_url, f"bench_{workload.size}_{number}")
    migrate(url)
    polled = bare_poll(log, f"bare-{workload.size}-{number}", workload.frames, workload.pictures, AT_ONCE)
    detected = detect(log, f"detect-{workload.size}-{number}", workload, url)
    check(url, workload)
    decoded, full, network = parts(sample)
    return Round(
        detect=_each(detected, workload.pictures),
        poll=_each(polled, workload.pictures),
        decode=_each(decoded, len(sample)),
        decode_full=_each(full, len(sample)),
        network=_each(network, len(sample)),
    )


def _each(spent: Spent, pictures: int) -> Spent:
    return Spent(spent.wall / pictures, spent.cpu / pictures)


def describe(measured: Round) -> str:
    """A round in one line."""
    names = ("detect", "poll", "decode", "network", "other")
    milliseconds = ", ".join(f"{name} {getattr(measured, name).cpu * 1e3:.2f}" for name in names)
    speeds = f"{1 / measured.detect.cpu:6.1f} frames/s per core {1 / measured.detect.wall:6.1f} by the clock"
    return f"{speeds}   processor ms a picture: {milliseconds}"


def summary(workload: FramesWorkload, rounds: Sequence[Round]) -> tuple[MeasuredSystem, Mapping[str, object]]:
    """Detection of a size, and milliseconds of processor time a picture of its parts: medians over the rounds."""
    many = workload.pictures
    runs = [MeasuredRun(each.detect.wall * many, each.detect.cpu * many, peak_mb()) for each in rounds]
    verified = "every picture processed, none discarded, the regions of each acknowledged"
    system = MeasuredSystem(f"detect, {workload.size}", many, runs, verified)
    names = [*(field.name for field in fields(Round)), "other"]
    return system, {
        "size": workload.size,
        "bytes a picture": workload.bytes // workload.pictures,
        **{f"{name}, ms": _ms([getattr(measured, name).cpu for measured in rounds]) for name in names},
    }


def _ms(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 3)


def _size(text: str) -> tuple[int, int]:
    """Width and height of "WIDTHxHEIGHT". Raises `ValueError`, which argparse reports."""
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    """Measure, print the result, and write it to `--output`."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", type=_size, nargs="+", default=[(640, 384), (1920, 1080)], metavar="WIDTHxHEIGHT")
    options.add_argument("--pictures", type=int, default=300)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--installed", type=Path, default=Path(".sistercity"))
    options.add_argument("--output", type=Path)
    chosen = options.parse_args()
    prepare_opencv()
    settings = {"opencv_threads": cv2.getNumThreads(), "weights": card().version, "rounds": chosen.rounds}
    measuring = Measuring("frames", "Pictures to plate regions", "picture", settings, seed=None)
    with own_services(chosen.installed) as running:
        sizes = [measure(running, w, h, chosen.pictures, chosen.rounds) for w, h in chosen.sizes]
    measuring.systems += [system for system, _ in sizes]
    parts_of_all = ResultTable.of("Processor time a picture, and of its parts", [row for _, row in sizes])
    measuring.tables.append(parts_of_all)
    measuring.write(chosen.output, [*SOFTWARE, "opencv-python-headless"])


if __name__ == "__main__":
    main()
