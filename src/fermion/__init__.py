"""Fermion: from raw data to a monitored AI service. One project file, one command, one portable bundle.

>>> import fermion
>>> fermion.__version__.count(".")
2
"""

__version__ = "0.1.0"
