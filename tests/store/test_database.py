"""How connections to PostgreSQL are made."""

import pytest
from psycopg.conninfo import make_conninfo

from store.database import connect

pytestmark = pytest.mark.services


def test_a_server_that_vanishes_is_given_up_and_the_url_may_say_otherwise(server_url: str) -> None:
    with connect(server_url) as connection:
        assert connection.info.get_parameters()["tcp_user_timeout"] == "30000"
    with connect(make_conninfo(server_url, tcp_user_timeout=5000)) as connection:
        assert connection.info.get_parameters()["tcp_user_timeout"] == "5000"
        assert connection.info.get_parameters()["keepalives_idle"] == "10"
