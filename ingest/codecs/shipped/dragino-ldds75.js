// Dragino LDDS75, LDDS45 and DDS45-LB on port 2: battery, distance, interrupt; later versions add a temperature and a flag
// of the sensor (the vendor's decoders in The Things Network's device repository, vendor/dragino).
function decodeUplink(input) {
  var bytes = input.bytes, data = {};
  if (input.fPort !== 2) return { errors: ["port " + input.fPort + " is none of measurements"] };
  if (bytes.length < 5) return { errors: ["the payload ends before the distance"] };
  data.battery = (((bytes[0] << 8) | bytes[1]) & 0x3fff) / 1000;
  var distance = (bytes[2] << 8) | bytes[3];
  if (bytes.length >= 8 && bytes[7] === 0) return { data: data, warnings: ["no sensor is connected"] };
  if (distance > 0 && distance <= 20) return { data: data, warnings: ["the object is nearer than 280 mm"] };
  data.distance = distance;
  return { data: data };
}
