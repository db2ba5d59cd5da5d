"""What the fork server imports: the whole product, without looking for garbage (see `node.demo.fork_server`)."""

import gc

gc.disable()

from tests.system import preloaded  # noqa: E402

gc.freeze()
gc.enable()

__all__ = ["preloaded"]
