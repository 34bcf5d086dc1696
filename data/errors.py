"""Errors that the user can fix: one line that names the file or option, and what to do."""


class UserError(ValueError):
    """A mistake of the user, explained by the message in one line."""


class PhotoError(UserError):
    """A problem with one file. The message is one line: what is wrong and what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class WeightsError(UserError):
    """A weights file that cannot be used. The message is one line."""
