from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fermion.core.run import Run
from fermion.practice.pipeline import Done, Missed, Pipeline
from fermion.practice.project import Project

ROWS = 300
FRAME = pl.DataFrame(
    {
        "size": [row % 17 + 6.0 * (row % 2) for row in range(ROWS)],
        "odd": [None if row % 9 == 0 else float(row % 11) for row in range(ROWS)],
        "paid": [f"{row % 50},{row % 10}00.5" for row in range(ROWS)],
        "sex": ["secretly-a", "secretly-b", "secretly-a"] * (ROWS // 3),
        "mail": [f"ann{row}@example.com" for row in range(ROWS)],
        "y": ["no", "yes"] * (ROWS // 2),
    }
)
DATA = """\
  columns:
    paid: {repair: {thousands: ","}}
    odd: {impute: median, indicator: true}
    sex: {type: category, private: keep}
    mail: {private: drop}
  features: [{ratio: [size, paid]}]
  expect: [{column: size, between: [0, 40]}]
  clean: {outliers: [{by: iqr, columns: [size], limit: 0.2}]}
"""


def run(folder: Path, rest: str = "evaluate: {slices: [sex], draws: 50}\n", data: str = DATA) -> tuple[Done, str]:
    FRAME.write_parquet(folder / "rows.parquet")
    (folder / "fermion.yaml").write_text(f"name: small\ndata:\n  source: rows.parquet\n  target: y\n{data}model: linear\n{rest}")
    project = Project.load(folder)
    pipeline = Pipeline(project, Run())
    try:
        done = pipeline.go()
    except Missed as missed:
        done = missed.done
    return done, (pipeline.folder / "card.md").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, str]:
    return run(tmp_path_factory.mktemp("card"))


def test_it_says_what_was_made_from_what(made: tuple[Done, str]) -> None:
    done, card = made
    assert card.startswith("# small\n")
    assert f"| **Bundle** | {str(done.bundle_id)[:12]} |" in card
    assert "| **Answers** | `y` (binary) |" in card
    assert "| **Model** | linear, with its inputs prepared as declared |" in card
    assert "`rows.parquet`, digest " in card
    assert "Repaired in training and in serving: paid." in card
    assert "1 columns were made from others." in card
    assert "Seed 0" in card


def test_every_metric_has_its_interval_and_baseline(made: tuple[Done, str]) -> None:
    done, card = made
    for name, score in done.metrics.items():
        assert f"| {name} | " in card
        assert score.low is None or " to " in next(line for line in card.splitlines() if line.startswith(f"| {name} |"))


def test_rows_that_were_set_aside_are_counted(made: tuple[Done, str]) -> None:
    assert "training rows were set aside: outliers: iqr" in made[1]


def test_private_columns_are_named_and_their_values_are_not(made: tuple[Done, str]) -> None:
    card = made[1]
    assert "| sex | read by the model, shown nowhere |" in card
    assert "| mail | not read at all |" in card
    assert "| sex | group 1 |" in card
    assert "secretly" not in card
    assert "@example.com" not in card


def test_a_table_has_equally_many_cells_in_every_line(made: tuple[Done, str]) -> None:
    blocks = [block.splitlines() for block in made[1].split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 4
    assert all(len({line.count("|") - line.count("\\|") for line in block}) == 1 for block in blocks)


def test_a_part_is_called_worse_only_beyond_its_interval(made: tuple[Done, str]) -> None:
    lines: list[Any] = [line.split(" | ") for line in made[1].splitlines() if line.startswith("| sex | group")]
    assert len(lines) == 2
    assert all("worse" not in line[-1] for line in lines), "sex has no bearing on y"


def test_a_run_that_missed_its_requirement_has_a_card_without_a_bundle(tmp_path: Path) -> None:
    done, card = run(tmp_path, "evaluate: {require: {roc_auc: 0.9999}, draws: 50}\n")
    assert done.bundle is None
    assert "| **Bundle** | none: a requirement was missed |" in card


def test_without_private_columns_it_says_how_to_look_for_them(tmp_path: Path) -> None:
    _, card = run(
        tmp_path, "evaluate: {draws: 50}\n", "  columns: {paid: {repair: {thousands: ','}}, mail: {private: drop}}\n  ignore: [sex]\n"
    )
    assert "| mail | not read at all |" in card
    _, card = run(tmp_path, "evaluate: {draws: 50}\n", "  columns: {paid: {repair: {thousands: ','}}}\n  ignore: [sex, mail]\n")
    assert "`fermion data private`" in card


def test_what_was_overruled_stands_in_it(tmp_path: Path) -> None:
    _, card = run(
        tmp_path, 'evaluate: {draws: 50}\nchecks: {accept: ["identifier:mail"]}\n', "  columns: {paid: {repair: {thousands: ','}}}\n"
    )
    assert "Overruled by name in the project file: `identifier:mail`." in card
