import string

from hypothesis import given
from hypothesis import strategies as st

from ingest.cameras.live.challenges import LONGEST_HEADER, Challenge, challenges, chosen

TOKEN = st.text(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-", min_size=1, max_size=8)
TEXT = st.text(st.characters(codec="latin-1", exclude_characters='"\\\\', exclude_categories=["Cc"]), max_size=12)
PARAMETERS = st.lists(st.tuples(TOKEN, st.booleans(), TEXT), max_size=3)


def written(scheme: str, parameters: list[tuple[str, bool, str]]) -> str:
    values = [f'{name}="{text}"' if quoted else f"{name}={name}" for name, quoted, text in parameters]
    return f"{scheme} {', '.join(values)}".strip()


@given(
    st.lists(st.lists(st.tuples(TOKEN, PARAMETERS), min_size=1, max_size=3), max_size=3), st.sampled_from([", ", ","])
)
def test_every_challenge_of_every_header_is_found(
    headers: list[list[tuple[str, list[tuple[str, bool, str]]]]], comma: str
) -> None:
    found = challenges(comma.join(written(*challenge) for challenge in header) for header in headers)
    expected = [(scheme.lower(), parameters) for header in headers for scheme, parameters in header]
    assert found is not None
    assert [each.scheme for each in found] == [scheme for scheme, _ in expected]
    assert [each.parameters for each in found] == [written("", parameters) for _, parameters in expected]


@given(
    st.permutations(
        ['Basic realm="a"', 'Digest realm="b", nonce="n"', 'Digest nonce="n", algorithm=SHA-256', "Negotiate"]
    )
)
def test_the_strongest_digest_is_chosen_whatever_the_order(order: list[str]) -> None:
    for headers in (order, [", ".join(order)]):
        assert chosen(challenges(headers) or ()) == Challenge("digest", 'nonce="n", algorithm=SHA-256')


def test_basic_is_chosen_only_where_no_digest_is_offered() -> None:
    assert chosen([Challenge("negotiate", ""), Challenge("basic", 'realm="a"')]) == Challenge("basic", 'realm="a"')
    assert chosen([Challenge("basic", ""), Challenge("digest", "algorithm=NEW")]) is None
    assert chosen([Challenge("negotiate", "")]) is None
    assert challenges(['Basic realm="a, Digest nonce=b']) is None
    assert challenges(['Basic realm="a, Digest realm="a", nonce="b']) is None
    assert challenges(["realm=a"]) is None
    assert challenges(['Basic realm="' + '\\"' * LONGEST_HEADER]) is None
    assert challenges([]) == []
