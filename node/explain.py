"""The text of an error that an operator can mend."""

from errors import OperatorError


def explain(error: Exception) -> str | None:
    """What to print instead of a traceback, or None: then the error is a defect.

    The product's own errors carry their mark; those of libraries are listed here.
    """
    import psycopg

    if isinstance(error, psycopg.errors.UndefinedTable):
        return "the database has no tables of ours, or old ones: run `sistercity migrate`"
    rights = psycopg.errors.InsufficientPrivilege
    if isinstance(error, OperatorError | PermissionError | psycopg.OperationalError | rights):
        return str(error)
    # psycopg itself raises the bare class for a URL that it can't read; a subclass is the server's, for wrong SQL.
    return str(error) if type(error) is psycopg.ProgrammingError else None
