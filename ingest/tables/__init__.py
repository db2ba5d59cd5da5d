"""Delimited tables as sources, each described by a profile: a TOML file instead of a program."""
