// JSON that every implementation reads alike, and the shapes of objects (docs/wire.md, "Common to all").
export class Refused extends Error {}
export const check = (holds, why) => { if (!holds) throw new Refused(why); };

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;
const PLAIN = /^[^\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$/u;

/** The value of bytes of JSON: no name twice, no fraction, at most 32 levels. */
export function parse(bytes) {
  let text, value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch { throw new Refused("no JSON"); }
  const open = [];  // for each open object its names, for each open array null
  let last = null;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const name = JSON.parse(last);
      check(!open.at(-1).has(name), "a name twice");
      open.at(-1).add(name);
    } else if (token[0] === '"') check(JSON.parse(token).isWellFormed(), "half a surrogate pair");
    else if (/^[-\d]/.test(token)) {
      check(/^-?\d+$/.test(token), "not a whole number");
      check(BigInt.asIntN(64, BigInt(token)) === BigInt(token), "beyond 64 bits");
    }
    check(open.length <= 32, "too deep");
    last = token;
  }
  return value;
}

// A shape is a function that says whether a value has it.
export const text = (most = 5000, least = 0) => (v) =>
  typeof v === "string" && [...v].length <= most && v.length >= least && PLAIN.test(v);
export const name = text(200, 1);
export const whole = (least, most = Infinity) => (v) => typeof v === "number" && v >= least && v <= most;
export const matching = (pattern) => (v) => typeof v === "string" && pattern.test(v);
export const hash = matching(/^[0-9a-f]{64}$/);
export const city = matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
export const thumbprint = matching(/^[\w-]{43}$/);
export const either = (...values) => (v) => values.includes(v);
export const orNull = (shape) => (v) => v === null || shape(v);
export const optional = (shape) => (v) => v === undefined || shape(v);
export const list = (shape, least = 0, most = Infinity) => (v) =>
  Array.isArray(v) && v.length >= least && v.length <= most && v.every(shape);
export const object = (fields) => (v) =>
  typeof v === "object" && v !== null && !Array.isArray(v) && Object.entries(fields).every(([key, is]) => is(v[key]));
export const time = (v) => {
  const found = typeof v === "string" && /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3})?Z$/.exec(v);
  return Boolean(found) && ms(v) === ms(v) && new Date(v).toISOString().startsWith(found[1]);
};
export const ms = (v) => Date.parse(v);
export const span = (v) => object({ start: time, end: time })(v) && ms(v.start) < ms(v.end);
export const distinct = (values) => new Set(values).size === values.length;

/** Raises unless `value` is of format 1 and of this shape. */
export function shaped(value, shape, format) {
  check(object({})(value) && format === 1, "unknown format");
  check(shape(value), "not its shape");
  return value;
}
