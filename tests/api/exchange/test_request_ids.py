"""The ids that requests get where the partner sends none."""

import os

from api.exchange.accounting import request_id


def test_processes_that_were_forked_give_ids_of_their_own() -> None:
    """Roles are forked from a process that has imported everything (decision 0014)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, request_id({"headers": []}).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as given:
        assert given.read() != request_id({"headers": []})
