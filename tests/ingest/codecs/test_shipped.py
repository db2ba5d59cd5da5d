"""The codecs of the package, against the results that vendors publish, and against values worked out by hand."""

import pytest

from ingest.codecs.device import load_device, shipped_devices
from ingest.codecs.sandbox import Payload

# Of the vendor's user guide, repository or entry in a device repository, where nothing else is said.
PUBLISHED = [
    ("milesight-udl", 85, "01755C03824408040001", {"battery": 92, "distance": 2116, "position": "tilt"}),  # EM310
    (  # EM400
        *("milesight-udl", 85, "01755C0367010104824408050001"),
        {"battery": 92, "temperature": 25.7, "distance": 2116, "position": "tilt"},
    ),
    ("milesight-udl", 85, "01756403821E00", {"battery": 100, "distance": 30}),  # EM500
    (  # DL-MBX
        *("decentlab-dl-mbx", 1, "02012F000304D200010BB1"),
        {"device_id": 303, "distance": 1234, "number_of_valid_samples": 1, "battery_voltage": 2.993},
    ),
    ("decentlab-dl-mbx", 1, "02012F00020BB1", {"device_id": 303, "battery_voltage": 2.993}),
    (  # DL-LID
        *("decentlab-dl-lid", 1, "0211C90003119B117611BC119E118A119411A811A81194006401990ABD"),
        {
            **{"device_id": 4553, "battery_voltage": 2.749, "number_of_samples": 100},
            **{"distance_average": 4507, "distance_minimum": 4470, "distance_maximum": 4540, "distance_median": 4510},
            **{"distance_10th_percentile": 4490, "distance_25th_percentile": 4500, "distance_75th_percentile": 4520},
            **{"distance_90th_percentile": 4520, "distance_most_frequent_value": 4500},
            "total_acquisition_time": 399.4140625,
        },
    ),
    # The layout is that of the vendor's decoder for DDS45-LB; 0B45 and 0B05 are those of its guide.
    ("dragino-ldds75", 2, "0B450B0500000001", {"battery": 2.885, "distance": 2821}),
    # Worked out by hand from another project's decoder: the vendors' own tables were not at hand.
    ("senso8-lrs20ld0", 10, "0B01640C6400", {"battery": 100, "distance": 317.2, "alert": False}),
    ("tekelek-tek766", 16, "1000000000A9F5A9", {"ullage": 169, "temperature": -11, "source": 10, "strength": 9}),
    # Of the vendor's description of its payloads, and of its entries in The Things Network's device repository (ELT-2,
    # ultrasound), whose acceleration is not read.
    (
        *("elsys", 5, "0100E202290400270506060308070D62"),
        {"temperature": 22.6, "humidity": 41, "light": 39, "motion": 6, "co2": 776, "vdd": 3426},
    ),
    (
        *("elsys", 1, "0100E202290301270514060101110E2311"),
        {"temperature": 22.6, "humidity": 41, "pressure": 100729.105, "distance": 8977},
    ),
    # Of the format's description; the last two after the header of its extended types.
    ("cayenne-lpp", 1, "03670110056700FF", {"temperature_3": 27.2, "temperature_5": 25.5}),
    ("cayenne-lpp", 1, "0167FFD7", {"temperature_1": -4.1}),
    ("cayenne-lpp", 1, "067104D2FB2E0000", {}),
    ("cayenne-lpp", 1, "018806765FF2960A0003E8017832", {"percentage_1": 50}),
    ("cayenne-lpp", 1, "017832018200000BB8", {"percentage_1": 50, "distance_1": 3}),
    ("cayenne-lpp-energy", 1, "0183000004D2", {"energy_1": 1.234}),
]


@pytest.mark.parametrize(("name", "port", "payload", "wanted"), PUBLISHED)
def test_a_payload_gives_its_published_result(name: str, port: int, payload: str, wanted: dict) -> None:
    [found] = load_device(name).codec.decode([Payload(bytes.fromhex(payload), port, 0)])
    assert (found.data, found.error, found.warnings) == (wanted, "", [])


def test_every_shipped_device_is_tried() -> None:
    assert {name for name, *_ in PUBLISHED} == set(shipped_devices())


@pytest.mark.parametrize(("name", "port", "payload", "wanted"), PUBLISHED)
def test_a_payload_that_is_cut_gives_no_other_reading(name: str, port: int, payload: str, wanted: dict) -> None:
    device, whole = load_device(name), bytes.fromhex(payload)
    for found in device.codec.decode([Payload(whole[:end], port, 0) for end in range(len(whole))]):
        assert not found.stopped
        for reading in device.readings:
            value = found.data.get(reading.path[0])
            assert value is None or value == wanted[reading.path[0]]
