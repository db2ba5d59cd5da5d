"""The labels that metrics may have (P2): none names an area, a source or a camera."""

LABELS = frozenset(
    {
        "dataset",
        "partition",
        "outcome",
        "reason",
        "state",
        "role",
        "use",
        "level",
        "status",
        "city",
        "agreement",
        "metric",
        "standing",
    }
)
"""Those that docs/rules.md lists under P2.

`city` is a city's id, `agreement` that of an agreement, `metric` a name of the catalogue.
"""
