"""A puller of unsigned publications by address: fills a database with figures for tests of what is read from it."""
