"""Remarks of the command line among the lines of an output, like those of the platform."""

from schemas.rest.jobs import JobLogLine


def shortened(beside: JobLogLine, words: str) -> JobLogLine:
    """A remark, beside a line or a piece of one, that something is not shown."""
    of_output = {"partial": None, "crlf": None, "base64": None, "missing": None}
    return beside.model_copy(update={"stream": "system", "message": words, "remark": "shortened", **of_output})
