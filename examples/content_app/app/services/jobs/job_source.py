"""What is true of every document, however it came: from the web, or from a script."""

MAX_BYTES = 1_048_576


def first_line(source: str) -> str:
    """A title for a document that came without one."""
    for line in source.splitlines():
        if words := line.strip(" \t#*_=->").split():
            title = " ".join(words)
            return title if len(title) <= 80 else title[:79] + "…"
    return "Untitled"
