"""The build backend for pip: setuptools, for editable installations (`pip install -e .`) alone.

A wheel would lack the weights and install packages called `data` and `nets`, names that others may use too.
"""

from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
)


def get_requires_for_build_wheel(*_):
    """The first hook that pip calls, before it downloads any dependency."""
    raise SystemExit("photo-restore runs from its checkout: pip install -e .")


build_wheel = get_requires_for_build_wheel
