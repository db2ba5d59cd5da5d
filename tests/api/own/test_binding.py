"""The API listens on this machine only; in a container, on the container only."""

import pytest

from api.own.binding import NotLoopback, check_host

LOOPBACK = ["127.0.0.1", "127.9.8.7", "::1", "localhost"]
ALL = ["0.0.0.0", "::"]
OTHERS = ["", "192.168.1.1", "10.0.0.1", "::ffff:10.0.0.1", "example.org", "127.0.0.1.org", "127.1", "0.0.0.0.org"]


@pytest.mark.parametrize("contained", [False, True])
@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_allowed(host: str, contained: bool) -> None:
    check_host(host, contained=contained)


@pytest.mark.parametrize("host", ALL + OTHERS)
def test_addresses_that_other_machines_can_reach_are_refused_with_the_reason(host: str) -> None:
    with pytest.raises(NotLoopback, match="not a loopback address"):
        check_host(host)


@pytest.mark.parametrize("host", ALL)
def test_a_container_may_listen_on_all_of_its_own_network(host: str) -> None:
    check_host(host, contained=True)


@pytest.mark.parametrize("host", OTHERS)
def test_in_a_container_other_addresses_are_still_refused(host: str) -> None:
    with pytest.raises(NotLoopback, match="not a loopback address"):
        check_host(host, contained=True)
