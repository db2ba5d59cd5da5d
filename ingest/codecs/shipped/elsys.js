// Elsys ERS, ELT, EMS and others: a byte of kind, then a value, high byte first. Kinds and names are those of the vendor's
// own decoder (The Things Network's device repository, vendor/elsys); what has no name here is passed over.
var KINDS = {
  1: ["temperature", 2, true, 10], 2: ["humidity", 1], 3: ["", 3], 4: ["light", 2], 5: ["motion", 1], 6: ["co2", 2],
  7: ["vdd", 2], 8: ["analog1", 2], 9: ["", 6], 10: ["pulse1", 2], 11: ["pulseAbs", 4],
  12: ["externalTemperature", 2, true, 10], 13: ["digital", 1], 14: ["distance", 2], 15: ["accMotion", 1], 16: ["", 4],
  17: ["occupancy", 1], 18: ["waterleak", 1], 19: ["", 65], 20: ["pressure", 4, false, 1000], 21: ["", 2],
  22: ["pulse2", 2], 23: ["pulseAbs2", 4], 24: ["analog2", 2], 25: ["", 2], 26: ["digital2", 1], 27: ["", 4],
  28: ["tvoc", 2], 61: ["", 4],
};

function decodeUplink(input) {
  var bytes = input.bytes, data = {};
  for (var at = 0; at < bytes.length;) {
    var kind = KINDS[bytes[at++]];
    if (!kind) return { data: data, warnings: ["values from one of an unknown kind on are not read"] };
    if (at + kind[1] > bytes.length) return { errors: ["the payload ends within a value"] };
    var value = 0;
    for (var end = at + kind[1]; at < end; at++) value = value * 256 + bytes[at];
    if (kind[2] && value > 0x7fff) value -= 0x10000;
    if (kind[0]) data[kind[0]] = value / (kind[3] || 1);
  }
  return { data: data };
}
