"""The front door: the command line, settings and the worker. The only package that knows all the others."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("waferlag")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
