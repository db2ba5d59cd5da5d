"""The mark of an error that an operator can mend. Every room may import this one; it imports none."""


class OperatorError(Exception):
    """Base of errors whose text is written for an operator: what is wrong, and what to do about it.

    `sistercity` prints the text as one message and exits with code 1. Every other exception is a traceback: either a
    caller handles it, or it is a defect.
    """
