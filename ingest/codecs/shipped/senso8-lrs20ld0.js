// Arwin Technology SENSO8 LRS20LD0: kind, events, battery, distance in tenths of a centimetre, state.
function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 10 || bytes[0] !== 11) return { data: {}, warnings: ["no measurement"] };
  if (bytes.length < 6) return { errors: ["the payload ends before the state"] };
  return { data: { battery: bytes[2], distance: ((bytes[3] << 8) | bytes[4]) / 10, alert: bytes[5] === 1 } };
}
