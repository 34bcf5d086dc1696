"""Methods whose result is computed once, also if several threads ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps


def once(method: Callable) -> Callable:
    """Keeps the result of a method without arguments in the object's dict `_cache`.

    It is computed under the object's `_lock`, which must be reentrant, as such methods may call each other.
    An exception is not kept.
    """

    @wraps(method)
    def cached(self):
        name = method.__name__
        if name not in self._cache:
            with self._lock:
                if name not in self._cache:
                    self._cache[name] = method(self)
        return self._cache[name]

    return cached
