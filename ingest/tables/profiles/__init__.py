"""The profiles of the package: one TOML file for each kind of table."""
