// Verifies the vectors of docs/wire.md with the library `jose`: prints those that it judges otherwise than they say.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { calculateJwkThumbprint, compactVerify, importJWK } from "jose";
import * as is from "./json.mjs";
import { Refused, check, ms, parse, shaped } from "./json.mjs";

const SECOND = 1000, DAY = 86_400 * SECOND, LEEWAY = 60 * SECOND;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

// Keys: the y of a point of small order, for which anybody can make signatures, or beyond the prime, is no key.
const P = 2n ** 255n - 19n, EIGHTH = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL = [0n, 1n, P - 1n, EIGHTH, P - EIGHTH];
async function keyOf(jwk) {
  check(is.object({ kty: is.either("OKP"), crv: is.either("Ed25519"), x: is.matching(/^[\w-]{43}$/) })(jwk), "no key");
  check(Object.keys(jwk).length === 3, "more than a key");
  const y = BigInt("0x" + Buffer.from(bytesOf(jwk.x)).reverse().toString("hex")) % 2n ** 255n;
  check(y < P && !SMALL.includes(y), "no point for a key");
  return { key: await importJWK(jwk, "Ed25519"), kid: await calculateJwkThumbprint(jwk) };
}
function bytesOf(base64url) {
  const bytes = Buffer.from(base64url, "base64url");
  check(bytes.toString("base64url") === base64url, "not the one spelling of base64url");
  return bytes;
}

// Signatures: `key` is given the kid and gives the key that may have signed, or nothing.
function headerOf(jws, typ) {
  const parts = jws.split(".");
  check(parts.length === 3, "no compact JWS");
  const header = parse(bytesOf(parts[0]));
  check(header?.alg === "Ed25519" && header.typ === typ && typeof header.kid === "string", "another header");
  check(Object.keys(header).length === 3, "a header with more");
  parts.forEach(bytesOf);
  return header;
}
async function opened(jws, typ, keyFor) {
  const { kid } = headerOf(jws, typ);
  const value = parse(bytesOf(jws.split(".")[1]));
  const key = await keyFor(kid, value);
  check(key, "a key that may not sign");
  try { await compactVerify(jws, key, { algorithms: ["Ed25519"] }); } catch { throw new Refused("forged"); }
  return value;
}
async function ownKey(kid, value) {
  const own = await keyOf(value?.identity_key);
  return own.kid === kid && own.key;
}
function inTime(value, now, longest, from = "issued_at", until = "expires_at", leeway = LEEWAY) {
  const [begin, end] = [ms(value[from]), ms(value[until])];
  check(begin < end && end - begin <= longest, "good for too long");
  check(now < end + leeway, "expired");
  check(from === "valid_from" || begin <= now + leeway, "not yet valid");
}

const KEY = is.object({ use: is.either("publish", "access"), not_before: is.time, not_after: is.time });
const GONE = is.object({ kid: is.thumbprint, revoked_at: is.time, reason: is.text() });
const IDENTITY = is.object({
  city: is.city, name: is.name, addresses: is.list(is.matching(/^https?:/), 0, 8), contact: is.name,
  version: is.whole(1, 2 ** 31 - 1), issued_at: is.time, expires_at: is.time,
  keys: is.list(KEY, 0, 500), revoked: is.list(GONE, 0, 500),
});
async function identity(jws, { pinned, now, known }) {
  const value = await opened(jws, "sistercity-identity", ownKey);
  shaped(value, IDENTITY, value.format);
  const kids = [(await keyOf(value.identity_key)).kid];
  for (const { key } of value.keys) kids.push((await keyOf(key)).kid);
  check(is.distinct(kids), "a key with two uses");
  check(!pinned || kids[0] === pinned, "another identity");
  if (now) inTime(value, ms(now), 90 * DAY);
  if (!known) return value;
  const before = await identity(known, {});
  check(value.version >= before.version && value.city === before.city, "rolled back");
  check(value.version > before.version || jws.split(".")[1] === known.split(".")[1], "another of its version");
  const listed = (of) => [...of.keys.map((k) => k.use + k.not_before + k.key.x), ...of.revoked.map((k) => k.kid)];
  check(listed(before).every((each) => listed(value).includes(each)), "a key is gone");
  return value;
}
async function onlineKey(value, use, kid, at) {
  for (const listed of value.keys) {
    const { key, kid: own } = await keyOf(listed.key);
    const inItsTime = ms(listed.not_before) - LEEWAY <= at && at < ms(listed.not_after) + LEEWAY;
    if (own === kid && listed.use === use) return inItsTime && !value.revoked.some((k) => k.kid === kid) && key;
  }
}

async function revocation(jws, { pinned }) {
  const value = await opened(jws, "sistercity-revocation", ownKey);
  shaped(value, is.object({ city: is.city, revoked_at: is.time, reason: is.text() }), value.format);
  check((await keyOf(value.identity_key)).kid === pinned, "another identity");
}

const PARTY = is.object({ city: is.city, name: is.name, addresses: is.list(is.matching(/^https?:/), 0, 8), contact: is.name });
const GRANT = is.object({
  from: is.city, to: is.city, metrics: (v) => is.list(is.name, 1)(v) && is.distinct(v), since: is.time,
  delay_seconds: is.whole(0), purpose: is.text(), retention_days: is.whole(1), requests_per_minute: is.whole(1),
  bytes_per_hour: is.whole(1), concurrent_requests: is.whole(1),
});
const AGREEMENT = is.object({
  id: is.matching(/^[\w-]{21}[AQgw]$/), version: is.whole(1), supersedes: is.orNull(is.hash),
  parties: is.list(PARTY, 2, 2), grants: is.list(GRANT, 1, 2), witness: is.either(true, false),
  valid_from: is.time, valid_until: is.time,
});
async function agreement(file, { now, signatures, before }) {
  const outer = parse(file);
  check(is.object({ payload: is.text(Infinity), signatures: is.list(is.object({})) })(outer), "no general JWS");
  check(Object.keys(outer).length === 2 && outer.signatures.length === signatures, "not its signatures");
  const value = shaped(parse(bytesOf(outer.payload)), AGREEMENT, parse(bytesOf(outer.payload))?.format);
  const keys = new Map();
  for (const { identity_key: jwk } of value.parties) { const { kid, key } = await keyOf(jwk); keys.set(kid, key); }
  const cities = value.parties.map((party) => party.city);
  check(keys.size === 2 && is.distinct(cities), "not two parties");
  check(value.grants.every((g) => g.from !== g.to && cities.includes(g.from) && cities.includes(g.to)), "other cities");
  check(is.distinct(value.grants.map((g) => g.from)), "two grants in one direction");
  const signers = [];
  for (const signature of outer.signatures) {
    check(Object.keys(signature).sort().join() === "protected,signature", "more than a signature");
    const jws = `${signature.protected}.${outer.payload}.${signature.signature}`;
    await opened(jws, "sistercity-agreement", (kid) => { signers.push(kid); return keys.get(kid); });
  }
  check(is.distinct(signers), "signed twice by one");
  check((value.version === 1) === (value.supersedes === null), "supersedes");
  if (now) inTime(value, ms(now), 366 * DAY, "valid_from", "valid_until", 0);
  if (!before) return { value, keys, payload: bytesOf(outer.payload) };
  const last = await agreement(Buffer.from(before), { signatures: 2 });
  check(value.id === last.value.id && [...keys.keys()].every((kid) => last.keys.has(kid)), "other parties");
  check(value.version === last.value.version + 1 && value.supersedes === sha256(last.payload), "not the next version");
}

const AREA = is.object({ number: is.whole(0), name: is.name, population: is.whole(0), valid_from: is.time });
const zone = (name) => { try { return !!new Intl.DateTimeFormat("en", { timeZone: name }); } catch { return false; } };
const CATALOGUE = is.object({
  zone: (v) => v === undefined || (is.name(v) && zone(v)),
  name: is.name, title: is.text(), definition: is.text(), smallest_unit: is.name, smallest_per_unit: is.whole(1),
  classes: (v) => is.list(is.name, 1)(v) && is.distinct(v),
  areas: (v) => is.list(AREA)(v) && is.distinct(v.map((area) => area.number)),
});
function catalogue(bytes, given) {
  check(sha256(bytes) === given.hash, "another hash");
  const value = parse(bytes);
  shaped(value, CATALOGUE, value?.format);
}

const REASONED = (v) => (v.kind === "withdrawal") === is.text(1000, 1)(v.reason) && (v.kind === "withdrawal" || !("reason" in v));
const NUMBERED = (v) => (v.kind === "correction" || v.kind === "withdrawal") === v.revision > 0;
const COMMON = {
  metric: is.name, sequence: is.whole(1), window: is.span, revision: is.whole(0), published_at: is.time,
  kind: is.either("publication", "correction", "withdrawal", "skip"),
};
const ENTRY = is.object({
  ...COMMON, city: is.city, position: is.whole(1), before: is.orNull(is.hash), body: is.hash, catalogue: is.hash,
});
function entry(line, { city, metric, end }) {
  const value = parse(line);
  shaped(value, (v) => ENTRY(v) && REASONED(v) && NUMBERED(v), value?.format);
  check(value.city === city && value.metric === metric, "of something else");
  const skips = value.kind === "skip";
  check(value.before === (end?.hash ?? null) || (end && skips), "not the entry before");
  check(!end || (skips ? value.sequence > end.sequence : value.sequence === end.sequence + 1), "a gap");
}

const CELL = (v) => {
  const shown = v?.status === "released" ? { value: is.whole(-Infinity), coverage: is.either("high", "medium", "low") } : {};
  const fields = { area: is.whole(0), class: is.name, rule: is.name, ...shown };
  return is.object(fields)(v) && Object.keys(v).length === Object.keys(fields).length + 1;
};
const BODY = is.object({ ...COMMON, unit: is.name, salt: is.matching(/^[0-9a-f]{32}$/), cells: is.list(CELL) });
function body(bytes, given) {
  const [told, defined] = [parse(Buffer.from(given.entry)), parse(Buffer.from(given.catalogue))];
  check(sha256(bytes) === told.body && sha256(Buffer.from(given.catalogue)) === told.catalogue, "another hash");
  const value = parse(bytes);
  shaped(value, BODY, value?.format ?? 1);
  const same = (field) => JSON.stringify(value[field]) === JSON.stringify(told[field]);
  check(["metric", "sequence", "revision", "window", "published_at", "kind", "reason"].every(same), "another entry's");
  const statuses = value.kind === "withdrawal" ? ["withdrawn"] : ["released", "suppressed", "incomplete"];
  check(value.cells.every((cell) => statuses.includes(cell.status)), "a status");
  const follows = (a, b) => a.area < b.area || (a.area === b.area && Buffer.compare(Buffer.from(a.class), Buffer.from(b.class)) < 0);
  check(value.cells.every((cell, i) => i === 0 || follows(value.cells[i - 1], cell)), "out of order");
  const areas = defined.areas.map((area) => area.number);
  check(value.unit === defined.smallest_unit && value.metric === defined.name, "another unit");
  check(value.cells.every((c) => areas.includes(c.area) && defined.classes.includes(c.class)), "not in the catalogue");
}

const END = is.object({ sequence: is.whole(1), hash: is.hash });
const HEAD = is.object({
  city: is.city, log: is.matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), number: is.whole(1), position: is.whole(0),
  issued_at: is.time, expires_at: is.time, audit: is.orNull(is.hash),
  metrics: (v) => is.object({})(v) && Object.values(v).every(END),
});
async function head(jws, { now, identity: document, known }) {
  const from = await identity(document, {});
  const value = await opened(jws, "sistercity-head", (kid, v) => onlineKey(from, "publish", kid, ms(v?.issued_at)));
  shaped(value, HEAD, value.format);
  check(value.city === from.city, "another city's");
  inTime(value, ms(now), 7 * DAY);
  if (!known) return;
  const before = parse(bytesOf(known.split(".")[1]));
  check(value.number >= before.number, "rolled back");
  check(value.number > before.number || jws.split(".")[1] === known.split(".")[1], "two of one number");
  for (const [metric, end] of Object.entries(before.metrics)) {
    const next = value.metrics[metric];
    check(next && next.sequence >= end.sequence, "a chain got shorter");
    check(next.sequence > end.sequence || next.hash === end.hash, "two stories");
  }
}

const CLAIMS = is.object({
  iss: is.thumbprint, sub: is.thumbprint, aud: is.name, jti: is.text(64, 1), iat: is.whole(0), exp: is.whole(0),
});
async function assertion(jws, { now, identity: document, audience, used }) {
  const from = await identity(document, {});
  const value = await opened(jws, "client-authentication+jwt", (kid) => onlineKey(from, "access", kid, ms(now)));
  shaped(value, CLAIMS, 1);
  const { kid } = await keyOf(from.identity_key);
  check(value.iss === kid && value.sub === kid && value.aud === audience, "for or by somebody else");
  const iso = (seconds) => new Date(seconds * SECOND).toISOString();
  inTime({ issued_at: iso(value.iat), expires_at: iso(value.exp) }, ms(now), 60 * SECOND);
  check(!used.includes(value.jti), "used before");
}

const LINE = is.object({
  agreement: is.name, sequence: is.whole(1), at: is.time, before: is.orNull(is.hash), request: is.name, path: is.text(),
  metric: is.orNull(is.name), first: is.orNull(is.whole(1)), last: is.orNull(is.whole(1)),
  status: is.whole(100, 599), page: is.hash, bytes: is.whole(0),
});
function audit(line, { agreement: id, end }) {
  const value = parse(line);
  shaped(value, LINE, value?.format);
  check((value.first === null) === (value.last === null) && value.first <= value.last, "sequences");
  check(value.agreement === id, "another agreement's");
  check(value.before === (end?.hash ?? null) && value.sequence === (end?.sequence ?? 0) + 1, "broken chain");
}

const VERIFIERS = { identity, revocation, agreement, catalogue, entry, body, head, assertion, audit };
const SIGNED = ["identity", "revocation", "head", "assertion"];
let judged = 0;
for (const [name, verify] of Object.entries(VERIFIERS)) {
  const file = JSON.parse(readFileSync(`${process.argv[2]}/${name}.json`));
  for (const vector of file.vectors) {
    const content = Buffer.from(vector.content ?? vector.content_hex, vector.content === undefined ? "hex" : "utf-8");
    let refusal = null;
    try {
      await verify(SIGNED.includes(name) ? content.toString() : content, { ...file.given, ...vector.given });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refusal = error.message;
    }
    judged += 1;
    if ((refusal === null) !== vector.good) console.log(`${name}: ${vector.name}: ${refusal ?? "accepted"}`);
  }
}
console.log(`${judged} vectors`);
