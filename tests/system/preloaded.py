"""Imports every module of the product that a command may import."""

import importlib
import pkgutil

_RUN_BY_ALEMBIC = "store.migrations."

for room in ("schemas", "eventlog", "store", "ingest", "processors", "federation", "api", "node"):
    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
        if module.name != "node.__main__" and not module.name.startswith(_RUN_BY_ALEMBIC):
            importlib.import_module(module.name)
