// Tekelek TEK 766: ullage (the empty height) in centimetres, temperature, and how well the echo was heard.
function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 16) return { data: {}, warnings: ["no measurement"] };
  if (bytes.length < 8) return { errors: ["the payload ends before the quality of the echo"] };
  return {
    data: {
      ullage: (bytes[4] << 8) | bytes[5],
      temperature: (bytes[6] << 24) >> 24,
      source: bytes[7] >> 4,
      strength: bytes[7] & 15,
    },
  };
}
