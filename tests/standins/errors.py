"""The one error of this tool."""


class StandInError(Exception):
    """What was asked for cannot be had on this machine; the message is one line that says why."""
