"""`fermion VERB [OBJECT] [key=value ...] [--json]`: what can be said, and how a mistake is answered.

Nothing heavy is imported before a command needs it. Exit codes: 0 good; 1 what was asked failed or does not hold; 2 wrong use or bad
input; 130 stopped with Ctrl-C before there was a model.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fermion import __version__

DESCRIPTION = "From raw data to a monitored AI service: one project file, one command, one portable bundle."
EPILOG = """\
Settings are words of the form key=value on the project file's own names:
  fermion run model=linear budget=10m
  fermion serve projects/digits serve.port=9000

exit codes: 0 good, 1 what was asked failed or does not hold, 2 wrong use or bad input, 130 stopped before there was a model
"""

# name, one line, arguments (name, how many, help), options (name, help, the word for its value or "")
_Argument = tuple[str, str | None, str]
_Option = tuple[str, str, str]
_PROJECT: _Argument = ("project", "?", "the project file or its folder (default: fermion.yaml here)")
_TARGET: _Option = ("--target", "which of several targets", "COLUMN")
VERBS: dict[str, tuple[str, tuple[_Argument, ...], tuple[_Option, ...]]] = {
    "init": ("write a first project file", (("folder", "?", "where to write fermion.yaml (default: here)"),), ()),
    "run": (
        "make a verified bundle: data, split, checks, fit, evaluate, report, bundle, verify, register",
        (_PROJECT,),
        (("--fresh", "do every stage again", ""),),
    ),
    "evaluate": (
        "score the project by every fold of its split: the mean over folds with its interval, without a bundle",
        (_PROJECT,),
        (("--folds", "how many (default: split.folds, else 5)", "N"), ("--fresh", "fit every fold again", "")),
    ),
    "check": ("look at the data and say what would spoil a fit", (("project", "?", "the project file or its folder"),), ()),
    "predict": (
        "answer the rows of a file or of another source",
        (
            ("bundle", None, "a bundle, or a project with one"),
            ("input", None, "rows: csv, parquet, jsonl, ..., or another address that data.source takes, such as sample://iris"),
            ("output", "?", "the file to write, by its suffix; without it csv on the screen"),
        ),
        (),
    ),
    "serve": ("serve a bundle over HTTP", (("bundle", "?", "a bundle, or a project with one (default: here)"),), ()),
    "show": ("say what a bundle is", (("bundle", "?", "a bundle, or a project with one (default: here)"),), ()),
    "verify": (
        "prove that a bundle holds what it promises: files, graphs, golden rows, HTTP",
        (("bundle", "?", "a bundle, or a project with one (default: here)"),),
        (),
    ),
    "runs": ("list the runs of a project", (("project", "?", "the project file or its folder"),), ()),
    "compare": (
        "set two runs side by side",
        (
            ("one", None, "a run: its id, the start or end of it, or `last`"),
            ("other", None, "another run"),
            ("project", "?", "the project file or its folder"),
        ),
        (),
    ),
    "schema": ("print the JSON Schema of project files, for editors", (), ()),
    "data profile": (
        "write a page that shows the data: types, missing values, distributions, what goes with the target, findings",
        (("project", "?", "the project file or its folder (default: fermion.yaml here), or a file of data"),),
        (("--output", "the file to write (default: .fermion/profile.html; profile.html for a file of data)", "FILE"),),
    ),
    "data clean": (
        "say what the cleaning plan does; with --suggest, propose one",
        (_PROJECT,),
        (
            ("--suggest", "propose a plan from the training part, with row counts and examples", ""),
            ("--write", "write the proposed plan into the project file", ""),
        ),
    ),
    "data private": ("find personal data, and how few rows share a combination of quasi-identifiers", (_PROJECT,), ()),
    "data label errors": (
        "rank the rows whose labels look wrong, by predictions from models that did not see them",
        (_PROJECT,),
        (("--folds", "how many models (default: 5)", "N"), ("--most", "rows to put into the queue (default: 200)", "N"), _TARGET),
    ),
    "data label next": (
        "the next rows to label or to look at",
        (_PROJECT,),
        (
            ("--count", "how many (default: 1)", "N"),
            ("--by", "what comes first: errors, margin, entropy, confidence, coverage, badge or random (default: go on)", "STRATEGY"),
            ("--budget", "labels that can be afforded in a new round (default: 200)", "N"),
            ("--overlap", "annotators per row (default: 1)", "N"),
            ("--annotator", "who asks, and is not asked twice", "NAME"),
            ("--classes", "labels besides those of the data, apart by commas", "A,B"),
            _TARGET,
        ),
    ),
    "data label set": (
        "give one row its label",
        (("item", None, "the row, as `next` names it"), ("label", "?", "its label; left out with --skip"), _PROJECT),
        (("--skip", "it cannot be told", ""), ("--by", "who says so (default: the user of this machine)", "NAME"), _TARGET),
    ),
    "data label export": (
        "write the labels that were given, by the suffix: csv, parquet, jsonl, or json for Label Studio",
        (("output", None, "the file to write"), _PROJECT),
        (_TARGET,),
    ),
    "data label import": (
        "take over labels from a file of Label Studio",
        (("input", None, "Label Studio's JSON export"), _PROJECT),
        (_TARGET,),
    ),
    "data snapshot": (
        "keep the data as they are now, under a name made of their content",
        (_PROJECT,),
        (("--tag", "a name of your own for it", "NAME"),),
    ),
    "data log": ("list the snapshots, newest first", (_PROJECT,), ()),
    "data show": (
        "say what a snapshot is and where it came from",
        (("snapshot", "?", "its id, the start of it, a tag, or `last`"), _PROJECT),
        (),
    ),
    "data diff": (
        "say which rows and columns changed between two snapshots, and how distributions moved",
        (("one", None, "a snapshot"), ("other", "?", "another (default: the data as they are now)"), _PROJECT),
        (),
    ),
    "data restore": (
        "write a snapshot to a file, by its suffix",
        (("snapshot", None, "its id, the start of it, a tag, or `last`"), ("output", None, "csv, parquet, jsonl"), _PROJECT),
        (),
    ),
}
GROUPS = {
    "data": "from raw data to a table that can be trusted: profile, clean, label, version",
    "data label": "find wrong labels, choose what to label next, label it",
}
_SETTINGS = {"init", "run", "evaluate", "check", "serve", "data profile", "data clean", "data private", "data label errors"}


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are errors like all others."""

    def error(self, message: str) -> NoReturn:
        from fermion.core.errors import Told, UsageError

        remedy = f"Run: {self.prog} --help"
        if self.prog == "fermion predict" and "required" in message:
            from fermion.practice.project import where_bundles_lie

            remedy = f"Say: fermion predict BUNDLE ROWS.csv ANSWERS.csv. {where_bundles_lie()}"
        raise UsageError("the command", rule="one that `fermion --help` shows", given=Told(message), remedy=remedy)


def parser() -> argparse.ArgumentParser:
    """The whole command line; the docs are generated from it."""
    top = _Parser(prog="fermion", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"fermion {__version__}")
    levels: dict[str, Any] = {"": top.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)}
    for name, (line, arguments, options) in VERBS.items():
        sub = _level(levels, name.rpartition(" ")[0]).add_parser(
            name.rpartition(" ")[2], help=line, description=line[0].upper() + line[1:] + "."
        )
        sub.set_defaults(verb=name)
        for argument, many, told in arguments:
            sub.add_argument(argument, nargs=many, help=told)
        if name in _SETTINGS:
            sub.add_argument("settings", nargs="*", metavar="key=value", help="settings on top of the project file")
        for option, told, value in options:
            sub.add_argument(option, help=told, **({"metavar": value} if value else {"action": "store_true"}))
        sub.add_argument("--json", action="store_true", help="exactly one JSON document on standard output, progress on standard error")
    return top


def _level(levels: dict[str, Any], group: str) -> Any:
    """The place for the verbs of a group, made with the first of them."""
    if group not in levels:
        around, _, word = group.rpartition(" ")
        line = GROUPS[group]
        sub = _level(levels, around).add_parser(word, help=line, description=line[0].upper() + line[1:] + ".")
        levels[group] = sub.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    return levels[group]


def _verb(argv: Sequence[str]) -> str:
    """The longest verb that the words begin with."""
    said = [word for word in argv if not word.startswith("-")]
    return next((name for end in (3, 2, 1) if (name := " ".join(said[:end])) in VERBS), "")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Words -> a namespace; key=value words may stand anywhere after the verb."""
    words, settings = [], []
    verb = _verb(argv)
    for position, word in enumerate(argv):
        key = word.split("=", 1)[0]
        is_setting = position > 0 and "=" in word and not word.startswith("-") and all(part.isidentifier() for part in _parts(key))
        (settings if is_setting and verb in _SETTINGS else words).append(word)
    known = parser().parse_args(words)
    if verb in _SETTINGS:
        extra = list(known.settings)
        if extra:
            from fermion.core.errors import UsageError

            raise UsageError("a setting", rule="key=value", given=extra[0], remedy="For example: model.lr=3e-4")
        known.settings = settings
    return known


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    try:
        known = parse(words)
        if known.verb is None:
            parser().print_help()
            return 2
        room = importlib.import_module("fermion.app.data_commands" if known.verb.startswith("data ") else "fermion.app.commands")
        command: Callable[[Any], int] = getattr(room, known.verb.removeprefix("data ").replace(" ", "_"))
        return command(known)
    except KeyboardInterrupt:
        return _told_stop(as_json)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe went away, which is its right
        return 0
    except Exception as error:
        return _told(error, as_json)


def entry() -> None:
    """The console script."""
    sys.exit(main())


def _parts(key: str) -> list[str]:
    return [part.replace("-", "_") for part in key.split(".")]


def _told_stop(as_json: bool) -> int:
    from fermion.core.errors import Stopped, Told

    return _told(Stopped("the command", rule="left alone until it ends", given=Told("Ctrl-C")), as_json)


def _told(error: Exception, as_json: bool) -> int:
    """One error, as text on standard error or as the JSON document on standard output."""
    from fermion.core.errors import FermionError, Told

    if not isinstance(error, FermionError):
        if not as_json and not isinstance(error, OSError | MemoryError):
            raise error  # a defect of ours: the traceback is what a report needs
        remedy = (
            "Look at the disk: whether it is full, and whether what is named is a folder."
            if isinstance(error, OSError)
            else "Please report this."
        )
        found = FermionError("the command", rule="done", given=Told(f"{type(error).__name__}: {error}"), remedy=remedy)
        error = found
    if as_json:
        from fermion.app import commands

        commands.print_json(commands.error_document(error))
    else:
        print(f"fermion: {error}", file=sys.stderr)
    return error.exit_status
