"""Why a reading of a file is refused, and what an operator does about it."""

from collections.abc import Mapping

from ingest.register import UNKNOWN_SOURCE

OUT_OF_RANGE = "out-of-range"
ABOVE_POWER = "above-power"

UNREADABLE = "unreadable"
TIME = "time"
NUMBER = "number"
MISSING = "missing"
CUT = "cut"
OVERLAP = "overlap"
SPACING = "spacing"
CONTRADICTION = "contradiction"

UNIT = "unit"
NOT_ELECTRICITY = "not-electricity"
NO_TYPE = "no-type"
NO_INTERVAL = "no-interval"
INTERVAL = "interval"
FLOW_DIRECTION = "flow-direction"
ACCUMULATION = "accumulation"
QUALIFIER = "qualifier"
DEMAND = "demand"
OTHER_METER = "other-meter"
QUALITY = "quality"
REPEATED_HOUR = "repeated-hour"
REGISTER_FELL = "register-fell"
REGISTER_STEP = "register-step"

ENVELOPE = "envelope"
DEVICE = "device"
PAYLOAD = "payload"
CODEC = "codec"
CODEC_STOPPED = "codec-stopped"
NO_CODEC = "no-codec"
NO_DEPTH = "no-depth"
SENSOR_FAULT = "sensor-fault"

NOT_IN_SCHEMA = "not-in-schema"
TOO_LONG = "too-long"
LOST = "lost"

NOT_AN_UPLINK = "not-an-uplink"
CODEC_WARNING = "codec-warning"
OTHER_PORT = "other-port"
NOT_COLLECTED = "not-collected"
REPEATED_ZERO = "repeated-zero"

WHAT_TO_DO: Mapping[str, str] = {
    UNKNOWN_SOURCE: "not in the register at that time: load it for this metric, or give its id there with --source",
    OUT_OF_RANGE: "outside what the metric can be: see the line, and the unit",
    ABOVE_POWER: "more than twice the power that the register has of the source: check the unit, or power_kw",
    UNREADABLE: "not in the form of such a file (fields, quotes, characters): see the line",
    TIME: "no time, or one that cannot be: skipped by the clock, or before such devices: check the clock and --zone",
    NUMBER: "the value is no number: see the line",
    MISSING: "a value is missing where one is required",
    CUT: "the last line has no end, digits may be missing: fetch the file again",
    OVERLAP: "the source has another reading for part of the same time: import only one of them",
    SPACING: "times are as far apart as a longer interval: ask which is true, or import that part by itself",
    CONTRADICTION: "says two things that cannot both be: two values for one interval, a month that is not the date's",
    UNIT: "neither energy nor power: ask the utility for active energy in Wh",
    NOT_ELECTRICITY: "gas, water or heat: there is no metric for it; ask the utility for electricity only",
    NO_TYPE: "belongs to no ReadingType, so its unit is not known: ask the utility for a feed with links",
    NO_INTERVAL: "has neither a duration nor an intervalLength: say --interval-s",
    INTERVAL: "longer than an hour, the metric's window: ask for hourly readings or shorter ones",
    FLOW_DIRECTION: "fed into the grid, net, or reactive: only what was delivered to the customer is counted",
    ACCUMULATION: "a register's state, not the energy of an interval: ask for interval data",
    QUALIFIER: "a minimum or maximum of the interval, not its energy",
    DEMAND: "power, where the file has the energy, too: the energy is read",
    OTHER_METER: "of a channel that --meter or the profile does not name",
    QUALITY: "a mark of quality that the profile does not know, or that says there is no value: see the line",
    REGISTER_FELL: "shows less than before: the register has begun anew, or the meter was replaced; what lies between "
    "cannot be told",
    REGISTER_STEP: "not one interval after the state before it: the energy of a gap, or in another order, is unknown",
    REPEATED_HOUR: "in an hour that the clock repeated, and nothing says which: say `repeated` in the profile's [time]",
    ENVELOPE: "of no network server whose JSON is known: export it as the server's own uplink JSON",
    DEVICE: "the device has no EUI of 16 hexadecimal digits",
    PAYLOAD: "the payload cannot be decoded, or is cut",
    CODEC: "the device's codec refuses the payload: see what it says, and whether the device is of that kind",
    CODEC_STOPPED: "the device's codec took too much time or memory: it may be spoiled, fetch its file again",
    NO_CODEC: "no device file is for this EUI: see their keys devices",
    NO_DEPTH: "the depth of this device's container is not known: register it with depth_mm, or say --depth-mm EUI=MM",
    SENSOR_FAULT: "the sensor failed, or saw no echo within its range",
    NOT_IN_SCHEMA: "not as its Avro schema says, or the registry has no such schema, or none that can be read",
    TOO_LONG: "a message of more than a megabyte: see its beginning, and write smaller ones",
    LOST: "messages that the topic no longer has, or that cannot be unpacked; the text says which",
}
"""Reason -> what it means and what to do, for refused readings."""
