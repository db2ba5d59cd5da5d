"""What a processor says when it can't go on without an operator."""

from errors import OperatorError

ACCEPT_GAP = (
    "Start with --accept-gap to go on; what is missing is then counted as lost, and its windows are marked incomplete"
)
ACCEPT_CUT = (
    "Start with --accept-cut to go on there; open readings that can't be read again are then counted as lost, and"
    " windows that may lack readings are marked incomplete"
)


class Stopped(OperatorError):
    """Processing can't go on without an operator; the text explains why and what to do."""
