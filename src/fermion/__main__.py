"""`python -m fermion` is the command line."""

from fermion.app.cli import entry

entry()
