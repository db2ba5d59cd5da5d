// Milesight EM310-UDL, EM400-UDL and -MUD, EM500-UDL: blocks of channel, type and value (the vendor's user guides).
// What is common to them is read; a block of an unknown kind ends the reading, because its length is unknown.
var SIZES = {
  "1 117": 1, "3 130": 2, "4 130": 2, "132 130": 3, "131 233": 5, "4 0": 1, "5 0": 1, "32 206": 6,
  "3 103": 2, "131 103": 3, "6 136": 9,
  "255 1": 1, "255 8": 6, "255 9": 2, "255 10": 2, "255 11": 1, "255 15": 1, "255 22": 8, "255 254": 1, "255 255": 2,
};
var POSITIONS = ["normal", "tilt"];

function decodeUplink(input) {
  var bytes = input.bytes, data = {}, warnings = [], errors = [], seen = {};

  function set(name, value) {
    if (name in data && data[name] !== value) errors.push("the payload has two values of " + name);
    data[name] = value;
  }

  for (var at = 0; at < bytes.length;) {
    var kind = bytes[at] + " " + bytes[at + 1], size = SIZES[kind];
    if (at + 1 < bytes.length && size === undefined) {
      if (data.distance === undefined) errors.push("a block of an unknown kind comes before any distance");
      warnings.push("blocks from one of an unknown kind on are not read");
      break;
    }
    if (at + 1 >= bytes.length || at + 2 + size > bytes.length) {
      errors.push("the payload ends within a block");
      break;
    }
    var block = bytes.slice(at + 2, at + 2 + size), text = block.join();
    at += 2 + size;
    if (kind === "32 206") {
      warnings.push("a distance of an earlier time is not read");
      continue;
    }
    if (kind in seen && seen[kind] !== text) errors.push("the payload has two values of one kind");
    seen[kind] = text;
    var number = block[0] | (block[1] << 8);
    if (kind === "1 117") set("battery", block[0]);
    else if (kind === "3 103" || kind === "131 103") set("temperature", ((number << 16) >> 16) / 10);
    else if (kind === "4 0" || kind === "5 0") {
      if (block[0] > 1) errors.push(block[0] + " is no position");
      else set("position", POSITIONS[block[0]]);
    } else if (kind.endsWith(" 130") || kind === "131 233") set("distance", number);
  }
  return { data: data, warnings: warnings, errors: errors };
}
