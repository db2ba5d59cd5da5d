"""What the demo's fork server imports: all that its roles need, without looking for garbage.

Python's collector would go through the modules again and again while they are imported, a quarter of the time that
this takes, and later in every process that is forked.
"""

import gc

gc.disable()

from node.demo import preloaded  # noqa: E402

gc.freeze()
gc.enable()

__all__ = ["preloaded"]
