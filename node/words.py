"""Words for operators."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, as "1 folder" and "2 folders"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
