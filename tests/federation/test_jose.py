"""What is accepted as signed, and what is not, for every type of object alike."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from typing import get_args

import pytest
from joserfc.jwk import OKPKey

from federation.jose import BadSignature, Type, jwk_of, new_key, public_key, sign, thumbprint, verify
from tests.federation.forging import b64, header, jws, raw_signature

KEY, OTHER = new_key(), new_key()
TYPES: tuple[Type, ...] = get_args(Type)
HEAD: Type = "sistercity-head"
PAYLOAD = b'{"format":1}'
PRIME = 2**255 - 19


def key_of(kid: str):
    return public_key(jwk_of(KEY)) if kid == thumbprint(KEY) else None


def refusal(text: str, typ: Type = HEAD, **limits) -> str:
    with pytest.raises(BadSignature) as caught:
        verify(text, typ, key_of, **limits)
    return caught.value.reason


@pytest.mark.parametrize("typ", TYPES)
def test_each_type_is_accepted_as_itself_and_as_no_other(typ):
    text = sign(PAYLOAD, KEY, typ)
    assert verify(text, typ, key_of) == PAYLOAD
    assert {refusal(text, other) for other in TYPES if other != typ} == {"wrong-type"}


def test_the_tests_own_hand_signs_as_the_product_does():
    assert jws(header(KEY, HEAD), PAYLOAD, KEY).split(".")[1] == sign(PAYLOAD, KEY, HEAD).split(".")[1]
    assert verify(jws(header(KEY, HEAD), PAYLOAD, KEY), HEAD, key_of) == PAYLOAD


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", "EdDSA", "ed25519", "Ed448", "HS256", "ES256", "RS256", 1, []]
)
def test_every_other_algorithm_is_refused_whoever_signed(algorithm):
    assert refusal(jws(header(KEY, HEAD, alg=algorithm), PAYLOAD, KEY)) == "wrong-algorithm"


def test_a_public_key_is_no_secret_to_sign_with():
    signed = f"{b64(b'{}')}.{b64(PAYLOAD)}"
    mac = hmac.new(jwk_of(KEY)["x"].encode(), signed.encode(), hashlib.sha256).digest()
    assert refusal(jws(header(KEY, HEAD, alg="HS256"), PAYLOAD, None, mac)) == "wrong-algorithm"
    assert refusal(jws(header(KEY, HEAD, alg="none"), PAYLOAD, None)) == "wrong-algorithm"


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": True},
        {"jku": "https://elsewhere.example/keys"},
        {"jwk": jwk_of(OTHER)},
        {"x5u": "https://elsewhere.example/"},
        {"cty": "json"},
        {"zip": "DEF"},
        {"nonce": "1"},
    ],
)
def test_a_field_more_in_the_header_is_refused(extra):
    assert refusal(jws(header(KEY, HEAD, **extra), PAYLOAD, KEY)) == "malformed"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alg": None}, "malformed"),
        ({"typ": None}, "malformed"),
        ({"kid": None}, "malformed"),
        ({"kid": 7}, "malformed"),
        ({"kid": ["a"]}, "malformed"),
        ({"kid": thumbprint(OTHER)}, "unknown-key"),
        ({"kid": thumbprint(KEY)[:-1]}, "unknown-key"),
        ({"typ": "JWT"}, "wrong-type"),
        ({"typ": "application/sistercity-head"}, "wrong-type"),
        ({"typ": "SISTERCITY-HEAD"}, "wrong-type"),
    ],
)
def test_a_header_that_is_not_as_it_must_be_is_refused(changed, reason):
    assert refusal(jws(header(KEY, **{"typ": HEAD, **changed}), PAYLOAD, KEY)) == reason


def test_forgeries_are_refused():
    text = sign(PAYLOAD, KEY, HEAD)
    head, payload, signature = text.split(".")
    other = sign(b'{"format":2}', KEY, HEAD).split(".")
    assert refusal(jws(header(KEY, HEAD), PAYLOAD, OTHER)) == "forged"
    assert refusal(f"{head}.{other[1]}.{signature}") == "forged"
    assert refusal(f"{head}.{payload}.{other[2]}") == "forged"
    assert refusal(f"{head}.{payload}.") == "forged"
    assert refusal(f"{head}.{payload}.{b64(bytes(64))}") == "forged"


def test_a_signature_with_the_groups_order_added_is_refused():
    """RFC 8032 section 5.1.7: else everybody could make a second signature of a signed object."""
    order = 2**252 + 27742317777372353535851937790883648493
    head, payload, _ = jws(header(KEY, HEAD), PAYLOAD, KEY).split(".")
    made = raw_signature(KEY, f"{head}.{payload}".encode())
    scalar = int.from_bytes(made[32:], "little") + order
    assert refusal(f"{head}.{payload}.{b64(made[:32] + scalar.to_bytes(32, 'little'))}") == "forged"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "=",
        lambda text: text.replace(".", "=.", 1),
        lambda text: text.replace(".", "..", 1),
        lambda text: text + ".a",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: "\u0430" + text,
        lambda text: text.partition(".")[2],
        lambda text: "",
        lambda text: "..",
        lambda text: b64(b"[]") + text[text.index(".") :],
        lambda text: b64(b"{") + text[text.index(".") :],
        lambda text: b64(b"\xff") + text[text.index(".") :],
    ],
)
def test_what_is_no_compact_jws_is_refused(spoil):
    assert refusal(spoil(sign(PAYLOAD, KEY, HEAD))) in {"malformed", "forged"}


def test_another_spelling_of_the_same_bytes_is_refused_in_every_part():
    """64 bytes of a signature leave 4 bits of the last character unused, a header of 3n + 1 bytes too."""
    head, payload, signature = sign(PAYLOAD + b" ", KEY, HEAD).split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    assert urlsafe_b64decode(other + "==") == urlsafe_b64decode(signature + "==")
    assert refusal(f"{head}.{payload}.{other}") == "malformed"
    longer = payload[:-1] + alphabet[alphabet.index(payload[-1]) + 1]
    assert urlsafe_b64decode(longer + "==") == urlsafe_b64decode(payload + "==")
    signed = f"{head}.{longer}"
    assert refusal(f"{signed}.{b64(raw_signature(KEY, signed.encode()))}") == "malformed"


def test_a_name_twice_in_the_header_is_refused():
    twice = f'{{"alg":"none","alg":"Ed25519","typ":"{HEAD}","kid":"{thumbprint(KEY)}"}}'.encode()
    assert refusal(jws(twice, PAYLOAD, KEY)) == "malformed"


def test_an_object_that_is_too_long_is_refused_before_anything_is_read():
    text = sign(b" " * 2_000, KEY, HEAD)
    assert refusal(text, longest=1_000) == "malformed"
    assert verify(text, HEAD, key_of, longest=len(text)) == b" " * 2_000
    large = b" " * 700_000
    assert verify(sign(large, KEY, HEAD), HEAD, key_of) == large
    assert refusal(sign(large + large, KEY, HEAD)) == "malformed"


def jwk(x: bytes) -> dict[str, str | list[str]]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(x)}


@pytest.mark.parametrize(
    "given",
    [
        KEY.as_dict(private=True),
        {**jwk_of(KEY), "kid": "a"},
        {**jwk_of(KEY), "alg": "Ed25519"},
        {**jwk_of(KEY), "use": "sig"},
        {"kty": "OKP", "crv": "Ed25519"},
        jwk(bytes(31)),
        jwk(b"\x05" + bytes(32)),
        {**jwk_of(KEY), "x": jwk_of(KEY)["x"] + "="},
        {**jwk_of(KEY), "x": 7},
        {**jwk_of(KEY), "x": "\u0660" * 43},
        {**jwk_of(KEY), "crv": "X25519"},
        {**jwk_of(KEY), "crv": "Ed448"},
        {**jwk_of(KEY), "kty": "oct"},
        {"kty": "oct", "k": "AAAA"},
        jwk_of(KEY)["x"],
        [],
        None,
    ],
    ids=lambda given: type(given).__name__,  # a key of each run would be in the name
)
def test_what_is_no_public_key_of_ed25519_alone_is_refused(given):
    with pytest.raises(BadSignature) as caught:
        public_key(given)
    assert caught.value.reason == "bad-key"


def small_orders() -> list[bytes]:
    """Every spelling of a point whose order divides 8, from the curve's equation: -x^2 + y^2 = 1 + d x^2 y^2.

    Doubling a point gives y = 0 where y^2 = -x^2, which is d y^4 + 2 y^2 - 1 = 0; the others have x y = 0.
    """
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    root = square_root((1 + d) % PRIME)
    squares = [(-1 + sign * root) * pow(d, -1, PRIME) % PRIME for sign in (1, -1)]
    eighths = [y for square in squares if (y := square_root(square)) is not None]
    ys = {0, 1, PRIME - 1, *eighths, *(PRIME - y for y in eighths)}
    spelled = {*ys, *(y + PRIME for y in ys if y + PRIME < 2**255)}
    return [(y + (sign << 255)).to_bytes(32, "little") for y in sorted(spelled) for sign in (0, 1)]


def square_root(square: int) -> int | None:
    root = pow(square, (PRIME + 3) // 8, PRIME)
    for found in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if found * found % PRIME == square:
            return found
    return None


def test_a_point_of_small_order_verifies_what_nobody_signed_and_is_refused_as_a_key():
    identity = (1).to_bytes(32, "little")
    weak = OKPKey.import_key(jwk(identity))
    text = jws(header(weak, HEAD), PAYLOAD, None, identity + bytes(32))
    assert verify(text, HEAD, lambda _: weak) == PAYLOAD  # by no private key at all
    spellings = small_orders()
    assert len(spellings) == 14
    for x in spellings:
        with pytest.raises(BadSignature, match="no Ed25519 public key"):
            public_key(jwk(x))


def test_a_second_spelling_of_a_point_is_no_key():
    with pytest.raises(BadSignature, match="no Ed25519 public key"):
        public_key(jwk((PRIME + 5).to_bytes(32, "little")))


def test_signing_is_deterministic_so_that_a_repeated_command_makes_the_same_object():
    assert sign(PAYLOAD, KEY, HEAD) == sign(PAYLOAD, KEY, HEAD)
