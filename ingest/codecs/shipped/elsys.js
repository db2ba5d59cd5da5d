// Elsys ERS, ELT and others: a byte of kind, then a value, high byte first.
var KINDS = {
  1: ["temperature", 2, true, 10], 2: ["humidity", 1], 4: ["light", 2], 5: ["motion", 1], 6: ["co2", 2], 7: ["vdd", 2],
  8: ["analog1", 2], 10: ["pulse1", 2], 11: ["pulseAbs1", 4], 12: ["externalTemperature", 2, true, 10],
  13: ["digital", 1], 14: ["distance", 2], 15: ["accMotion", 1], 22: ["pulse2", 2], 23: ["pulseAbs2", 4],
  24: ["analog2", 2],
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
    data[kind[0]] = value / (kind[3] || 1);
  }
  return { data: data };
}
