// Cayenne LPP, which devices of many makers send: blocks of channel, type and value, high byte first. The types are those
// of the description by myDevices and of the extended ones in CayenneLPP's header; what has no name here is passed over.
var KINDS = {
  0: ["digital_in", 1], 1: ["digital_out", 1], 2: ["analog_in", 2, true, 100], 3: ["analog_out", 2, true, 100],
  100: ["generic", 4], 101: ["illuminance", 2], 102: ["presence", 1], 103: ["temperature", 2, true, 10],
  104: ["humidity", 1, false, 2], 113: ["", 6], 115: ["barometer", 2, false, 10], 116: ["voltage", 2, false, 100],
  117: ["current", 2, false, 1000], 118: ["frequency", 4], 120: ["percentage", 1], 121: ["altitude", 2, true],
  125: ["concentration", 2], 128: ["power", 2], 130: ["distance", 4, false, 1000], 131: ["energy", 4, false, 1000],
  132: ["direction", 2], 133: ["time", 4], 134: ["", 6], 135: ["", 3], 136: ["", 9], 142: ["switch", 1],
};

function decodeUplink(input) {
  var bytes = input.bytes, data = {};
  for (var at = 0; at < bytes.length;) {
    var channel = bytes[at], kind = KINDS[bytes[at + 1]];
    if (!kind) return { data: data, warnings: ["blocks from one of an unknown kind on are not read"] };
    at += 2;
    if (at + kind[1] > bytes.length) return { errors: ["the payload ends within a block"] };
    var value = 0;
    for (var end = at + kind[1]; at < end; at++) value = value * 256 + bytes[at];
    if (kind[2] && value > 0x7fff) value -= 0x10000;
    if (kind[0]) data[kind[0] + "_" + channel] = value / (kind[3] || 1);
  }
  return { data: data };
}
