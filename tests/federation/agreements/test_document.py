"""An agreement is what both cities have signed, and nothing else is one."""

from tests.federation.agreements.agreeing import TwoCities


def test_both_cities_sign_the_same_bytes_and_both_read_the_same_terms():
    cities = TwoCities()
    found = cities.agreement()
    assert set(found.signers) == {cities.one.thumbprint, cities.other.thumbprint}
    assert found.other(cities.one.thumbprint).city == cities.other.city
    assert found.given_by(cities.one.city) == found.received_by(cities.other.city) == cities.grants()[0]
