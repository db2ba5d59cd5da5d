"""Identity documents: what a receiver reads in one, and every way in which one is refused."""

from federation import jose
from federation.identity.document import newer, open_identity
from tests.federation.identity.cities import DAY, NOW, SigningCity

CITY = SigningCity()


def test_a_receiver_reads_what_the_city_signed():
    opened = open_identity(CITY.document(), pinned=CITY.thumbprint, now_ms=NOW)
    assert (opened.city, opened.name, opened.version) == ("isfahan", "Isfahan", 1)
    assert opened.addresses == ("https://exchange.isfahan.example",)
    assert (opened.issued_at, opened.expires_at) == (NOW, NOW + 90 * DAY)
    found = opened.key_for("publish", jose.thumbprint(CITY.publish), NOW)
    assert jose.thumbprint(found) == jose.thumbprint(CITY.publish)
    assert opened.key_for("access", jose.thumbprint(CITY.publish), NOW) is None
    assert newer(None, opened)
    assert not newer(opened, opened)
