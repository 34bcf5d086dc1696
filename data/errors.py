"""Errors of the user: what is wrong with a file or an option and what to do, in one line."""


class UserError(ValueError):
    """A mistake of the user, which the message explains in one line."""


class PhotoError(UserError):
    """A user's problem with one file. Its message is one line: what is wrong and what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class WeightsError(UserError):
    """A weights file that cannot be used; the message is one line."""
