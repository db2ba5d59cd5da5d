"""The API listens on this machine only."""

import pytest

from api.binding import NotLoopback, loopback_only


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    loopback_only(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "192.168.1.1", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "127.0.0.1.org", "127.1"],
)
def test_whatever_others_could_reach_is_refused_with_the_reason(host: str) -> None:
    with pytest.raises(NotLoopback, match="agreements come later"):
        loopback_only(host)
