// What a codec finds: JavaScript without a clock, random numbers, input or output, whose own objects cannot be changed.
// Evaluates to a function: the codec's source -> a function of an uplink's payload (hexadecimal digits), port (-1: not
// known) and time (milliseconds since 1970). That gives the codec's result as JSON, or "E" and what was wrong.
(function (longest) {
  "use strict";
  const kept = new Set([
    "Object", "Function", "Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError",
    "InternalError", "AggregateError", "Iterator", "Array", "parseInt", "parseFloat", "isNaN", "isFinite", "decodeURI",
    "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "unescape", "Infinity", "NaN", "undefined",
    "Number", "Boolean", "String", "Math", "Reflect", "Symbol", "globalThis", "BigInt", "RegExp", "JSON", "Proxy", "Map",
    "Set", "WeakMap", "WeakSet", "ArrayBuffer", "Uint8ClampedArray", "Int8Array", "Uint8Array", "Int16Array",
    "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array", "Float16Array", "Float32Array",
    "Float64Array", "DataView", "Promise", "btoa", "atob",
  ]);
  const evaluate = eval, scope = globalThis, ClockDate = Date;
  const { ownKeys, deleteProperty, defineProperty, getPrototypeOf, getOwnPropertyDescriptor, construct } = Reflect;
  const { freeze } = Object, { stringify } = JSON;
  const textOf = Function.prototype.call.bind(Function.prototype.toString);
  const cut = Function.prototype.call.bind(String.prototype.slice);
  let now = 0;

  // The time of an uplink is the only time there is; the processor's zone is UTC.
  const FixedDate = function Date(...parts) {
    return new.target ? construct(ClockDate, parts.length ? parts : [now], new.target) : new ClockDate(now).toString();
  };
  FixedDate.prototype = ClockDate.prototype;
  FixedDate.prototype.constructor = FixedDate;
  FixedDate.now = () => now;
  FixedDate.parse = ClockDate.parse;
  FixedDate.UTC = ClockDate.UTC;
  Math.random = () => { throw new Error("a codec has no random numbers"); };
  const nothing = () => undefined;
  const quiet = { log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing };

  for (const name of ownKeys(scope)) if (!kept.has(name) && typeof name === "string") deleteProperty(scope, name);
  scope.Date = FixedDate;
  scope.console = quiet;

  // Freeze all that can be reached, also what has no global name: generators, iterators.
  const waiting = [...ownKeys(scope).map((name) => scope[name]).filter((value) => value !== scope)];
  waiting.push(function* () {}, async function () {}, async function* () {}, [][Symbol.iterator](), ""[Symbol.iterator]());
  waiting.push(new Map().entries(), new Set().entries(), "".matchAll(/a/g), (function* () {})());
  waiting.push([].values().map(nothing), Iterator.from({ next: nothing }));
  const frozen = new Set();
  while (waiting.length) {
    const item = waiting.pop();
    if (item === null || (typeof item !== "object" && typeof item !== "function")) continue;
    if (frozen.has(item) || item === scope) continue;
    frozen.add(item);
    freeze(item);
    waiting.push(getPrototypeOf(item));
    for (const key of ownKeys(item)) {
      const found = getOwnPropertyDescriptor(item, key);
      waiting.push(found.value, found.get, found.set);
    }
  }
  for (const name of ownKeys(scope)) defineProperty(scope, name, { writable: false, configurable: false });
  const ours = new Set(ownKeys(scope));

  function wrong(error) {
    // Where there is no memory for an error, QuickJS throws null.
    if (error === null) return "Enull: out of memory, or thrown by the codec";
    try {
      return "E" + cut(String(error && error.message !== undefined ? error.message : error), 0, 300);
    } catch {
      return "Ean error that says nothing";
    }
  }

  return function (source) {
    const text = "function (module, exports) {\n" + source + "\n;return typeof decodeUplink === 'function' ? " +
      "decodeUplink : module.exports && module.exports.decodeUplink;\n}";
    const made = evaluate("(" + text + ")");
    // A source that closes the function that it stands in would keep values from one uplink to the next.
    if (textOf(made) !== text) throw new Error("its braces do not match");
    return function (digits, port, time) {
      now = time;
      try {
        const bytes = [];
        for (let at = 0; at < digits.length; at += 2) bytes[at / 2] = parseInt(cut(digits, at, at + 2), 16);
        const module = { exports: {} };
        const decode = made(module, module.exports);
        if (typeof decode !== "function") return "Eit defines no function decodeUplink";
        const found = stringify(decode({ bytes, fPort: port < 0 ? undefined : port, recvTime: new FixedDate(time) }));
        if (typeof found !== "string") return "Eit returned nothing";
        return found.length > longest ? "Eits result has more than " + longest + " characters" : found;
      } catch (error) {
        return wrong(error);
      } finally {
        if (ownKeys(scope).length !== ours.size) {
          for (const name of ownKeys(scope)) if (!ours.has(name)) deleteProperty(scope, name);
          if (ownKeys(scope).length !== ours.size) throw new Error("it made a variable that cannot be removed");
        }
      }
    };
  };
})
