// Decentlab DL-MBX: protocol 2, the device's number, flags of the groups that follow, words of 16 bits.
function decodeUplink(input) {
  var bytes = input.bytes, at = 5;
  if (bytes[0] !== 2) return { errors: ["protocol version " + bytes[0] + " is not 2"] };

  function word(place) { return (bytes[place] << 8) | bytes[place + 1]; }
  function next() { at += 2; return word(at - 2); }

  var data = { device_id: word(1) }, flags = word(3);
  if (bytes.length !== 5 + (flags & 1 ? 4 : 0) + (flags & 2 ? 2 : 0) || flags > 3) {
    return { errors: ["the payload has another length than its flags say"] };
  }
  if (flags & 1) {
    data.distance = next();
    data.number_of_valid_samples = next();
  }
  if (flags & 2) data.battery_voltage = next() / 1000;
  return { data: data };
}
