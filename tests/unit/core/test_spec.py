from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, field, structs

from fermion.columns.category import Category
from fermion.columns.number import Number
from fermion.core import registry, spec
from fermion.core.errors import FermionError, SpecError, UsageError
from fermion.core.sections import Data, Declared, Evaluate, Split, Weight
from fermion.core.spec import Spec, digest, document, json_schema, load, override, read, to_yaml
from fermion.core.tree import Tree
from fermion.core.typed import typed

COLUMNS = ", ".join(registry.names("columns"))
BASE = "name: digits\ndata: {source: sample://digits, target: digit}\n"

FOREST = '''
from __future__ import annotations
from typing import Annotated, Any, Literal
from msgspec import Meta, Struct
from fermion.core.errors import UsageError
from fermion.core.sections import part

class Forest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="forest"):
    """Many trees."""
    trees: Annotated[int, Meta(ge=1, le=1000)] = 100
    lr: Annotated[float, Meta(gt=0)] = 0.1
    split: Literal["gini", "entropy"] = "gini"
    widths: tuple[int, ...] = (1, 2)
    members: tuple[Annotated[Any, part("models")], ...] = ()
    depth: int | None = None
    share: int | float = 1

    def __post_init__(self) -> None:
        if self.depth == 13:
            raise UsageError("depth", rule="lucky", given=self.depth, remedy="Take 12.")
        if self.depth == 14:
            raise ValueError("14 levels do not go with gini")

class Untagged(Struct):
    """No part."""
'''

MEANINGS = ", ".join(registry.names("meanings"))


@pytest.fixture
def forest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin that is installed: a package with entry points, as pip leaves it."""
    folder = tmp_path / "site"
    info = folder / "fermion_forest-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fermion-forest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fermion.models]\nforest = fermion_forest:Forest\nuntagged = fermion_forest:Untagged\n")
    (folder / "fermion_forest.py").write_text(FOREST)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "fermion_forest", raising=False)
    registry._parts.cache_clear()
    yield
    registry._parts.cache_clear()
    sys.modules.pop("fermion_forest", None)


def told(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        read(text, overrides, name="f.yaml")
    assert raised.value.exit_status == 2
    return str(raised.value)


def test_a_file_with_three_fields() -> None:
    found = read(BASE)
    assert found == Spec(name="digits", data=Data(source="sample://digits", target="digit"))
    assert found.model is None


def test_every_kind_of_field() -> None:
    found = read(
        """
        name: card-fraud
        data:
          source: cards.parquet
          target: [fraud, amount]
          columns: {amount: number, shop: {type: category, most: 50, missing: accept}, when: {missing: refuse}, n o: flag}
          weight: {classes: {fraud: 3, "no": 0.5}, use: fit}
        seed: 1e3
        split: {by: time, column: when, test: 7d, validation: 0.25, gap: 1h}
        decide: {type: threshold, at: 0}
        budget: 10m
        evaluate: {slices: [country, NO], require: {average_precision: 0.65}}
        """
    )
    assert found.data.target == ("fraud", "amount")
    assert found.data.columns["amount"] == Declared(column=Number())
    assert found.data.columns["shop"] == Declared(column=Category(most=50), missing="accept")
    assert found.data.columns["when"] == Declared(missing="refuse")
    assert found.data.weight == Weight(classes={"fraud": 3.0, "no": 0.5}, use="fit")
    assert (found.seed, type(found.seed)) == (1000, int)
    assert found.split == Split(by="time", column="when", test="7d", validation=0.25, gap="1h")
    assert (found.decide.at, type(found.decide.at)) == (0.0, float)
    assert found.evaluate.slices == ("country", "NO")


MISTAKES = {
    "an unknown field": (
        "name: digits\ndata:\n  source: s\n  traget: y\n",
        "f.yaml:4:3: a field of `data` must be one of source, target, time, joins, features, columns, ignore, weight, "
        "drop_unlabelled, expect, clean, privacy, got `traget`. "
        "Did you mean `target`?",
    ),
    "a field in the wrong section": (
        BASE + "target: y\n",
        "f.yaml:3:1: a section of the project file must be one of name, data, seed, split, checks, model, decide, budget, device, "
        "evaluate, serve, got `target`. Did you mean `data.target`?",
    ),
    "a section of a later version": (
        BASE + "monitor: {drift: 0.2}\n",
        "f.yaml:3:1: a section of the project file must be one of name, data, seed, split, checks, model, decide, budget, device, "
        "evaluate, serve, got `monitor`.",
    ),
    "a wrong type": (BASE + "serve:\n  port: http\n", "f.yaml:4:9: `serve.port` must be a whole number from 0 to 65535, got 'http'."),
    "out of range": (BASE + "serve: {port: 65536}\n", "f.yaml:3:15: `serve.port` must be a whole number from 0 to 65535, got 65536."),
    "no whole number": (BASE + "serve: {batch: 1.5}\n", "f.yaml:3:16: `serve.batch` must be a whole number of at least 1, got 1.5."),
    "true is no number": (BASE + "seed: true\n", "f.yaml:3:7: `seed` must be a whole number of at least 0 and below 2147483648, got true."),
    "1 is not true": (
        "name: a\ndata: {source: s, target: y, drop_unlabelled: 1}\n",
        "f.yaml:2:47: `data.drop_unlabelled` must be true or false, got 1.",
    ),
    "infinite": (
        BASE + "evaluate: {require: {f1: .inf}}\n",
        "f.yaml:3:26: `evaluate.require.f1` must be a number, got inf.",
    ),
    "beyond float": (BASE + "evaluate: {require: {f1: 1e999}}\n", "f.yaml:3:26: `evaluate.require.f1` must be a number, got inf."),
    "a missing section": (
        "name: digits\n",
        "f.yaml:1:1: `data` must be given, got nothing. "
        "It is a mapping with fields from source, target, time, joins, features, columns, ignore, weight, "
        "drop_unlabelled, expect, clean, privacy.",
    ),
    "a missing field": (
        "name: digits\ndata:\n  source: s\n",
        "f.yaml:3:3: `data.target` must be given, got nothing. "
        "It is text or a list, each item text. The column to predict, or a list of columns.",
    ),
    "null where something must be": (
        "name: ~\ndata: {source: s, target: y}\n",
        "f.yaml:1:7: `name` must be a name of letters, digits, `.`, `_` "
        "and `-`, 64 at the most, that starts with a letter or digit, got null.",
    ),
    "a bad name": (
        "name: a b\ndata: {source: s, target: y}\n",
        "f.yaml:1:7: `name` must be a name of letters, digits, `.`, `_` "
        "and `-`, 64 at the most, that starts with a letter or digit, got 'a b'.",
    ),
    "a name with a line's end": (
        'name: "a\\n"\ndata: {source: s, target: y}\n',
        "f.yaml:1:7: `name` must be a name of letters, digits, `.`, `_` "
        "and `-`, 64 at the most, that starts with a letter or digit, got 'a\\n'.",
    ),
    "a number where text is meant": (
        "name: a\ndata: {source: 3, target: y}\n",
        "f.yaml:2:16: `data.source` must be text or a mapping with fields from at, query, sha256, sheet, member, text, arrays, "
        "parts, names, unreadable, memory, got 3. Put it in quotes.",
    ),
    "an item of a list": (
        BASE + "checks: {accept: [leak, 3]}\n",
        "f.yaml:3:25: `checks.accept[1]` must be text, got 3. Put it in quotes.",
    ),
    "text for a list": (
        BASE + "evaluate: {slices: country}\n",
        "f.yaml:3:20: `evaluate.slices` must be a list, each item text, got 'country'. Write a list: [country]",
    ),
    "a bad duration": (
        BASE + "budget: 10 minutes\n",
        "f.yaml:3:9: `budget` must be a duration: a number and ms, s, m, h, d or w, got '10 minutes'. For example: 7d",
    ),
    "a duration without a unit": (
        BASE + "budget: 600\n",
        "f.yaml:3:9: `budget` must be a duration: a number and ms, s, m, h, d or w, got 600. For example: 7d",
    ),
    "neither share nor duration": (
        BASE + "split: {test: 1.5}\n",
        "f.yaml:3:15: `split.test` must be a number of at least 0 and below 1 or a duration: a number and ms, s, m, h, d or w, got 1.5. "
        "For example: 7d",
    ),
    "a misspelt word": (
        BASE + "split: {by: tmie}\n",
        "f.yaml:3:13: `split.by` must be auto, blocks, column, group, random, stratified, time or walk, got 'tmie'. Did you mean `time`?",
    ),
    "inside of a mapping of names": (
        "name: a\ndata: {source: s, target: y, weight: {classes: {a: -1}}}\n",
        "f.yaml:2:52: `data.weight.classes.a` must be a number of at least 0, got -1.",
    ),
    "inside of a union": (
        "name: a\ndata: {source: s, target: y, weight: {clases: {a: 1}}}\n",
        "f.yaml:2:39: a field of `data.weight` must be one of column, classes, use, got `clases`. Did you mean `classes`?",
    ),
    "no mapping": ("- a\n- b\n", "f.yaml:1:1: the project file must be a mapping of sections, got ['a', 'b']. It begins with `name: ...`."),
    "a section that is none": (
        BASE + "serve: 8080\n",
        "f.yaml:3:8: `serve` must be a mapping with fields from host, port, queue, batch, body, threads, got 8080.",
    ),
    "empty": (
        "# nothing yet\n",
        "f.yaml: the project file must be not empty, got an empty one. "
        "It needs at least `name`, `data.source` and `data.target`. Write one with: fermion init",
    ),
    "an unknown column type": (
        "name: a\ndata: {source: s, target: y, columns: {amount: nmber}}\n",
        f"f.yaml:2:48: `data.columns.amount.type` must be one of {MEANINGS}, got 'nmber'. Did you mean `number`?",
    ),
    "a column's unknown setting": (
        "name: a\ndata: {source: s, target: y, columns: {shop: {type: category, mots: 50}}}\n",
        "f.yaml:2:63: a field of `data.columns.shop` must be one of levels, most, encode, impute, indicator, missing, private, "
        "repair, scale, got `mots`. Did you mean `most`?",
    ),
    "a column's wrong setting": (
        "name: a\ndata: {source: s, target: y, columns: {shop: {type: category, most: many}}}\n",
        "f.yaml:2:69: `data.columns.shop.most` must be a whole number of at least 1, got 'many'.",
    ),
    "a column's settings without its type": (
        "name: a\ndata: {source: s, target: y, columns: {shop: {most: 50}}}\n",
        "f.yaml:2:47: a field of `data.columns.shop` must be one of type, encode, impute, indicator, missing, private, repair, "
        "scale, got `most`. "
        "Say the type beside it: {type: category, most: ...}",
    ),
    "a misspelt rule of a column": (
        "name: a\ndata: {source: s, target: y, columns: {shop: {mising: accept}}}\n",
        "f.yaml:2:47: a field of `data.columns.shop` must be one of type, encode, impute, indicator, missing, private, repair, "
        "scale, got `mising`. Did you mean `missing`?",
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_place_path_rule_and_remedy(text: str, message: str) -> None:
    assert told(text) == message


@pytest.mark.usefixtures("forest")
class TestParts:
    def test_a_name_alone_or_with_settings(self) -> None:
        model = read(BASE + "model: forest\n").model
        assert type(model).__name__ == "Forest"
        assert (model.trees, model.lr) == (100, 0.1)
        model = read(BASE + "model: {type: forest, lr: 3e-4, widths: [3], depth: ~, share: 1.0}\n").model
        assert (model.lr, model.widths, model.depth, repr(model.share)) == (3e-4, (3,), None, "1.0")

    def test_parts_are_made_of_parts(self) -> None:
        model = read(BASE + "model: {type: forest, members: [forest, {type: forest, trees: 7}]}\n").model
        assert [member.trees for member in model.members] == [100, 7]

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("frest", "f.yaml:3:8: `model` must be one of NAMES, got 'frest'. Did you mean `forest`?"),
            ("{type: 3}", "f.yaml:3:15: `model.type` must be one of NAMES, got 3."),
            ("{lr: 1}", "f.yaml:3:8: `model.type` must be given, got nothing. It is one of NAMES."),
            ("[forest]", "f.yaml:3:8: `model` must be a model: ALL, got ['forest']."),
            (
                "{type: forest, tress: 3}",
                "f.yaml:3:23: a field of `model` must be one of trees, lr, split, widths, members, depth, share, "
                "got `tress`. Did you mean `trees`?",
            ),
            ("{type: forest, trees: 0}", "f.yaml:3:30: `model.trees` must be a whole number from 1 to 1000, got 0."),
            ("{type: forest, lr: 0}", "f.yaml:3:27: `model.lr` must be a number above 0, got 0."),
            ("{type: forest, split: ginni}", "f.yaml:3:30: `model.split` must be entropy or gini, got 'ginni'. Did you mean `gini`?"),
            ("{type: forest, members: [{type: forest, lr: x}]}", "f.yaml:3:52: `model.members[0].lr` must be a number above 0, got 'x'."),
            ("{type: forest, depth: 13}", "f.yaml:3:8: depth of `model` must be lucky, got 13. Take 12."),
            ("{type: forest, depth: 14}", "f.yaml:3:8: `model` must be consistent, got 14 levels do not go with gini."),
            (
                "untagged",
                'f.yaml:3:8: the class registered as `untagged` in fermion.models must be a msgspec Struct with tag_field="type" '
                "and tag=\"untagged\", got <class 'fermion_forest.Untagged'>.",
            ),
        ],
    )
    def test_a_mistake_in_a_part_is_told_like_any_other(self, model: str, message: str) -> None:
        names = registry.names("models")
        expected = message.replace("NAMES", ", ".join(names)).replace("ALL", ", ".join(names[:-1]) + f" or {names[-1]}")
        assert told(BASE + f"model: {model}\n") == expected

    def test_arguments_reach_into_parts(self) -> None:
        assert read(BASE + "model: forest\n", ("model.lr=3e-4",)).model.lr == 3e-4
        assert read(BASE + "model: {type: forest, lr: 1}\n", ("model.trees=7",)).model.trees == 7
        assert read(BASE, ("model.type=forest", "model.trees=7")).model.trees == 7
        found = override(read(BASE + "model: {type: forest, lr: 1}\n"), "model.trees=7")
        assert (found.model.lr, found.model.trees) == (1.0, 7)
        assert override(found, "model=null").model is None

    def test_null_as_an_argument_is_the_default_and_in_the_file_a_value(self) -> None:
        text = BASE + "evaluate: {require: {f1: 0.5, accuracy: 0.9}, draws: 7}\nserve: {port: 9000}\nmodel: {type: forest, lr: 1}\n"
        assert read(text, ("evaluate.require=null",)).evaluate == Evaluate(draws=7)
        assert read(text, ("evaluate.require.f1=null",)).evaluate.require == {"accuracy": 0.9}
        assert read(text, ("evaluate=null", "serve.port=null", "split=null", "split.test=null")) == read(
            BASE + "model: {type: forest, lr: 1}\n"
        )
        assert read(text, ("model.lr=null",)).model == read(BASE + "model: forest\n").model
        assert override(read(text), "model=null", "evaluate.require=null").evaluate.require == {}
        with pytest.raises(SpecError, match=re.escape("`data.target` must be given, got nothing.")):
            read(text, ("data.target=null",))
        with pytest.raises(SpecError, match="Did you mean `require`"):
            read(text, ("evaluate.requir=null",))
        with pytest.raises(SpecError, match=re.escape("`serve.port` must be a whole number from 0 to 65535, got null.")):
            read(BASE + "serve: {port: null}\n")

    def test_the_effective_spec_reads_back(self) -> None:
        found = read(
            BASE + "model: {type: forest, members: [forest], lr: 1e-5}\nsplit: {by: time, column: NO, test: 7d}\n",
            ("data.columns.amount=number", "data.columns.shop={type: category, missing: accept}", "data.columns.when={missing: refuse}"),
        )
        assert read(to_yaml(found)) == found
        assert read(document(found)) == found
        assert document(found)["model"]["members"][0]["type"] == "forest"
        shop = document(found)["data"]["columns"]["shop"]
        assert {name: one for name, one in shop.items() if one} == {"type": "category", "most": 10_000, "missing": "accept"}
        assert {name: one for name, one in document(found)["data"]["columns"]["when"].items() if one} == {"missing": "refuse"}

    def test_python_passes_instances(self) -> None:
        import fermion_forest

        model = fermion_forest.Forest(trees=3)
        found = read(
            {"name": "a", "data": {"source": "s", "target": ("y",), "columns": {"x": Number()}}, "model": model, "split": Split(test=0.3)}
        )
        assert found.model is model
        assert found.data.columns["x"] == Declared(column=Number())
        assert found.split.test == 0.3
        assert override(found, "model.lr=1").model == fermion_forest.Forest(trees=3, lr=1.0)


# What other people's models, and a model of folds, cannot be without.
NEEDED = {
    "sklearn": ", estimator: my_module:make, settings: {C: 2.0}",
    "torch": ", module: my_module:Net",
    "keras": ", build: my_module:build",
    "onnx": ", path: model.onnx",
    "folded": ", model: linear",
    "frozen": ", encoders: {text: {type: pretrained, name: owner/model}}",
}


@pytest.mark.parametrize("name", registry.names("models"))
def test_every_model_of_the_package_is_written_and_read_back(name: str) -> None:
    needed = NEEDED.get(name, "")
    found = read(BASE + f"model: {{type: {name}{needed}}}\n")
    assert needed or found.model == read(BASE + f"model: {name}\n").model
    assert read(to_yaml(found)) == found
    assert override(found, "seed=0") == found


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "modle.lr=1",
            "a section of the project file must be one of name, data, seed, split, checks, model, decide, budget, device, evaluate, "
            "serve, got `modle`. Did you mean `model`?",
        ),
        ("serve.prot=1", "a field of `serve` must be one of host, port, queue, batch, body, threads, got `prot`. Did you mean `port`?"),
        ("serve.port=high", "`serve.port` must be a whole number from 0 to 65535, got 'high'."),
        ("name.first=x", "`name` must be a section, to set `name.first`, got 'digits'. Set it as a whole: name=..."),
        (
            "data.source=*.csv",
            "the value of `data.source` must be YAML, got a mistake: expected alphabetic or numeric character, "
            "but found '.'. Put text that starts with `*` in quotes.",
        ),
        (
            "data.columns.amount=nmber",
            f"`data.columns.amount.type` must be one of {MEANINGS}, got 'nmber'. Did you mean `number`?",
        ),
        (
            "data={source: s}",
            "`data.target` must be given, got nothing. It is text or a list, each item text. The column to predict, or a list of columns.",
        ),
    ],
)
def test_a_mistake_in_an_argument_names_the_argument(argument: str, message: str) -> None:
    assert told(BASE, argument) == f"argument `{argument}`: {message}"
    with pytest.raises(SpecError) as raised:
        override(read(BASE), argument)
    assert raised.value.where == f"argument `{argument}`"


@pytest.mark.parametrize("argument", ["serve.port", "=3", "a..b=1", ".a=1", ""])
def test_an_argument_that_is_none(argument: str) -> None:
    with pytest.raises(UsageError, match=r"an argument must be key=value, got .* For example: model.lr=3e-4"):
        read(BASE, (argument,))


def test_arguments_are_laid_over_the_file_in_order() -> None:
    found = read(
        BASE + "serve: {port: 1, host: a}\nevaluate:\n",
        (
            "serve.port=2",
            "serve.port=3",
            "evaluate.require.f1=0.5",
            "data.columns.amount=number",
            "data.columns.amount.missing=accept",
            "data.target=[a, b]",
            "budget=2m",
            "data.source=a=b: c"[:15],
        ),
    )
    assert (found.serve.port, found.serve.host) == (3, "a")
    assert found.evaluate.require == {"f1": 0.5}
    assert found.data.columns == {"amount": Declared(column=Number(), missing="accept")}
    assert (found.data.target, found.budget, found.data.source) == (("a", "b"), "2m", "a=b")


def test_an_argument_may_say_what_the_file_lacks() -> None:
    assert read("name: digits\n", ("data.source=s", "data.target=y")).data.target == "y"
    assert told("name: digits\n", "data.source=s").startswith("argument `data.source=s`: `data.target` must be given")


def test_a_mistake_beside_an_argument_stays_where_it_was() -> None:
    assert told(BASE + "serve: {prt: 1}\n", "serve.host=a").startswith("f.yaml:3:9: a field of `serve`")


def test_a_digest_depends_on_meaning_alone() -> None:
    one = read("name: a\ndata: {source: s, target: y}\nsplit: {test: 0.2, gap: 1h}\nevaluate: {require: {f1: 1, auc: 0.5}}\n")
    two = read(
        "evaluate:\n  require:\n    auc: 5e-1\n    f1: 1.0\nsplit: {gap: 1h}\nseed: 0x0\ndata:\n  target: 'y'\n  source: s\nname: a\n"
    )
    assert digest(one) == digest(two) == digest(document(one))
    assert len(digest(one)) == 64
    assert digest(one.split) == digest(two.split) != digest(Split())
    assert digest(override(one, "seed=1")) != digest(one)
    assert digest(override(one, "seed=1").split) == digest(one.split)
    assert digest(Number()) != digest(Category()) != digest(None)
    assert digest({"a": 1, "b": [2.0]}) == digest({"b": (2,), "a": 1.0})
    assert digest({"a": True}) != digest({"a": 1})
    assert digest([float("inf")]) != digest([float("nan")])


def test_a_digest_is_the_same_in_every_process() -> None:
    code = f"from fermion.core.spec import digest, read; print(digest(read({BASE!r})))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(read(BASE))


class TestFiles:
    def test_a_file_and_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "fermion.yaml").write_text(BASE)
        assert load(tmp_path / "fermion.yaml") == load(tmp_path) == load(str(tmp_path), ["seed=0"]) == read(BASE)

    def test_a_mistake_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "fermion.yaml").write_text(BASE + "sed: 1\n")
        with pytest.raises(SpecError) as raised:
            load(tmp_path)
        assert raised.value.where == f"{tmp_path / 'fermion.yaml'}:3:1"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as raised:
            load(tmp_path / "fermion.yaml")
        assert str(raised.value) == f"the project file must be there, got no file `{tmp_path}/fermion.yaml`. Write one with: fermion init"
        (tmp_path / "fermion.yml").write_text(BASE)
        with pytest.raises(SpecError) as raised:
            load(tmp_path / "fermion.yaml")
        assert raised.value.remedy == f"Did you mean `{tmp_path}/fermion.yml`? If not: fermion init"
        with pytest.raises(SpecError, match="Write one with: fermion init"):
            load(tmp_path / "no" / "fermion.yaml")

    def test_a_folder_without_one(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as raised:
            load(tmp_path)
        assert str(raised.value) == f"the folder {tmp_path} must be one that holds fermion.yaml, got none. Write one with: fermion init"
        (tmp_path / "real.yaml").write_text(BASE)
        with pytest.raises(SpecError, match=r"got real.yaml. Did you mean `.*/real.yaml`"):
            load(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "fermion.yaml").write_bytes("name: a\n# Zürich\n".encode("latin-1"))
        with pytest.raises(SpecError) as raised:
            load(tmp_path)
        assert str(raised.value) == f"{tmp_path}/fermion.yaml:2:4: a project file must be UTF-8, got the byte 0xfc. Save the file as UTF-8."

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "fermion.yaml").write_bytes(b"# " + b"x" * (1 << 21))
        with pytest.raises(SpecError, match="at most 1,048,576 bytes"):
            load(tmp_path)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        loop = tmp_path / "fermion.yaml"
        loop.symlink_to(loop)
        with pytest.raises(SpecError):
            load(loop)


class TestSchema:
    def test_it_says_what_the_sections_say(self) -> None:
        schema = json_schema()
        assert schema["$schema"].endswith("2020-12/schema")
        assert set(schema["properties"]) == set(Spec.__struct_fields__)
        assert schema["required"] == ["name", "data"]
        assert schema["properties"]["model"]["$ref"] == "#/$defs/models"
        assert schema["properties"]["serve"] == {"$ref": "#/$defs/Serve"} | {"default": document(read(BASE).serve)}
        assert schema["$defs"]["Serve"]["properties"]["port"]["maximum"] == 65535
        assert json.loads(json.dumps(schema)) == schema

    def test_every_reference_is_there_and_every_object_is_described(self) -> None:
        schema = json_schema()
        assert set(references(schema)) <= {f"#/$defs/{name}" for name in schema["$defs"]}
        assert not [name for name, one in schema["$defs"].items() if "description" not in one and name not in ("models", "meanings")]

    def test_parts_are_told_apart_by_their_type(self) -> None:
        schema = json_schema()["$defs"]
        assert schema["models"]["oneOf"][1] == {"enum": list(registry.names("models"))}
        assert len(schema["models"]["oneOf"]) == 2 + len(registry.names("models"))
        shapes = schema["Declared"]["oneOf"]
        assert shapes[0] == {"enum": list(registry.names("meanings"))}
        category = next(one for one in shapes if one.get("title") == "Category")
        assert set(category["properties"]) == {"type", "levels", "most", *(set(structs.asdict(Declared())) - {"column"})}
        assert category["required"] == ["type"]

    @pytest.mark.usefixtures("forest")
    def test_plugins_are_in_it(self) -> None:
        schema = json_schema()["$defs"]
        assert schema["Forest"]["properties"]["trees"]["maximum"] == 1000
        assert {"$ref": "#/$defs/Forest"} in schema["models"]["oneOf"]
        assert {"type": "object", "properties": {"type": {"const": "untagged"}}, "required": ["type"]} in schema["models"]["oneOf"]

    def test_it_takes_what_is_right_and_refuses_what_is_wrong(self) -> None:
        validator = pytest.importorskip("jsonschema").Draft202012Validator
        validator.check_schema(json_schema())
        check = validator(json_schema())
        assert check.is_valid(document(read(BASE)))
        columns = {"a": "number", "b": {"type": "category", "most": 3, "missing": "accept"}, "c": {"missing": "accept"}}
        right: dict[str, Any] = {"name": "a", "data": {"source": "s", "target": "y", "columns": columns}}
        assert check.is_valid(right)
        for wrong in ({"sed": 1}, {"model": "cn"}, {"serve": {"port": -1}}, {"budget": "10 minutes"}, {"model": {"lr": 1}}):
            assert not check.is_valid(right | wrong)


def references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for one in schema.values():
            yield from references(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from references(one)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Types that no section of the project file has, and a plugin's may."""

    pair: tuple[int, float] = (1, 2.0)
    some: Annotated[list[int], Meta(min_length=1, max_length=2)] = field(default_factory=lambda: [1])
    even: Annotated[int, Meta(multiple_of=2)] = 2
    word: Annotated[str, Meta(min_length=1)] = "a"
    short: Annotated[float, Meta(gt=0, le=1)] | Literal["auto"] = "auto"
    either: int | Literal[True] = 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pair": [1]}, "`pair` must be a list of 2: a whole number, a number, got [1]."),
        ({"pair": [1, "x"]}, "`pair[1]` must be a number, got 'x'."),
        ({"some": []}, "`some` must be a list of 1 or more, each item a whole number, got []."),
        ({"some": [1, 2, 3]}, "`some` must be a list of 1 or more, each item a whole number, got [1, 2, 3]."),
        ({"even": 3}, "`even` must be a whole number in steps of 2, got 3."),
        ({"even": 10**400}, ""),
        ({"word": ""}, "`word` must be text that is not empty, got ''."),
        ({"short": 0}, "`short` must be a number above 0 and of at most 1 or auto, got 0."),
        ({"short": 10**400}, None),
        ({"short": None}, "`short` must be a number above 0 and of at most 1 or auto, got null."),
        ({"either": False}, "`either` must be a whole number or True, got false."),
    ],
)
def test_types_of_plugins(given: dict[str, Any], message: str | None) -> None:
    if message == "":
        assert typed(Tree(value=given), Limits).even == 10**400
        return
    with pytest.raises(FermionError) as raised:
        typed(Tree(value=given), Limits)
    assert message is None or str(raised.value) == message


def test_lists_and_pairs_keep_their_types() -> None:
    found = typed(Tree(value={"pair": [3, 4], "some": [5], "short": 1}), Limits)
    assert (found.pair, found.some, found.short) == ((3, 4.0), [5], 1.0)


def test_importing_it_is_light() -> None:
    code = "import sys; from fermion.core.spec import Spec, load; print([m for m in ('yaml', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_default_file() -> None:
    assert spec.FILE == "fermion.yaml"
