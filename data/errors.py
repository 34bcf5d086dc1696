"""Errors that the user can fix: one line that names the file or option, and what to do."""


def lacks_memory(error: BaseException) -> bool:
    """Whether memory ran out, that of the machine or of a GPU, for which torch has a RuntimeError."""
    signs = "out of memory", "DefaultCPUAllocator"
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


class UserError(ValueError):
    """A mistake of the user, explained by the message in one line, even if names in it have line breaks."""

    def __init__(self, message: str):
        super().__init__("\\n".join(str(message).splitlines()))


class PhotoError(UserError):
    """A problem with one file. The message is one line: what is wrong and what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class WeightsError(UserError):
    """A weights file that cannot be used. The message is one line."""
