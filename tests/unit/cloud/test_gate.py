from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fermion.bundle.runtime import Runtime
from fermion.bundle.steps import Onnx
from fermion.cloud.reply import Reply
from fermion.cloud.service import Service
from fermion.columns.number import Number
from fermion.columns.repair import Repaired
from fermion.columns.schema import Schema
from fermion.core.declared import Expectation, Repair

Make = Callable[..., Service]
ROW = {"age": 20, "member": True, "city": "Rome"}


def expecting(runtime: Runtime, *expect: Expectation, repair: bool = False, private: tuple[str, ...] = ()) -> Runtime:
    """The same model with expectations, its `age` maybe in texts."""
    fields = tuple(
        msgspec.structs.replace(
            field,
            private=field.name in private,
            column=Repaired(column=Number(), repair=Repair(strip=("y",))) if repair and field.name == "age" else field.column,
        )
        for field in runtime.schema.fields
    )
    step = runtime.steps[0]
    assert isinstance(step, Onnx)
    changed: Any = object.__new__(Runtime)
    changed.__dict__.update(runtime.__dict__)
    changed.__dict__.pop("requests", None)
    changed.schema = Schema(fields=fields, expect=expect)
    changed.encode = changed.schema.encoder()
    return changed


def ask(service: Service, *bodies: Any) -> list[tuple[int, Any]]:
    """Every body's status and answer, all in flight together, and then the metrics."""

    async def call(method: str, path: str, body: bytes) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        service.handle(method, path, body, future.set_result)
        return await asyncio.wait_for(future, 5)

    async def main() -> list[tuple[int, Any]]:
        await service.start()
        replies = await asyncio.gather(*(call("POST", "/v1/predict", json.dumps(body).encode()) for body in bodies))
        metrics = await call("GET", "/metrics", b"")
        service.close()
        return [*((reply.status, json.loads(reply.body)) for reply in replies), (metrics.status, metrics.body.decode())]

    return asyncio.run(main())


@pytest.mark.parametrize("then", ["stop", "aside"])
def test_a_row_that_breaks_an_expectation_is_refused_and_its_neighbours_are_answered(runtime: Runtime, make: Make, then: Any) -> None:
    service = make(expecting(runtime, Expectation(column="age", between=(0, 120), then=then)))
    before, refused, columnar, after, metrics = ask(
        service,
        {"rows": [ROW]},
        {"rows": [ROW, ROW, {**ROW, "age": 130.5}]},
        {"columns": {"age": [20, -1], "member": [True, None], "city": ["Rome", None]}},
        {"rows": [ROW]},
    )
    assert before[0] == after[0] == 200
    assert (refused[0], columnar[0]) == (422, 422)
    assert refused[1]["error"]["message"] == "`age` must be from 0 to 120, got 130.5."
    assert refused[1]["error"]["where"] == "$.rows[2].age"
    assert columnar[1]["error"]["where"] == "$.columns.age[1]"
    assert 'fermion_expectation_broken_total{expectation="age from 0 to 120"} 2\n' in metrics[1]


def test_a_warning_is_answered_and_counted(runtime: Runtime, make: Make) -> None:
    expect = (
        Expectation(column="city", among=("Bern",), then="warn"),
        Expectation(column="city", matches="[A-Z][a-z]+", tolerate=0.1),
    )
    answered, metrics = ask(make(expecting(runtime, *expect)), {"rows": [ROW, {**ROW, "city": "Bern"}, {**ROW, "city": "?"}]})
    assert (answered[0], len(answered[1]["rows"])) == (200, 3)
    assert 'fermion_expectation_broken_total{expectation="city among Bern"} 2\n' in metrics[1]
    assert 'fermion_expectation_broken_total{expectation="city matches [A-Z][a-z]+"} 1\n' in metrics[1]


def test_values_are_read_through_the_repair(runtime: Runtime, make: Make) -> None:
    service = make(expecting(runtime, Expectation(column="age", between=(0, 120)), repair=True))
    fine, refused, unread, _ = ask(
        service, {"rows": [{**ROW, "age": "20 y"}]}, {"rows": [{**ROW, "age": "200 y"}]}, {"rows": [{**ROW, "age": "old"}]}
    )
    assert (fine[0], refused[0], unread[0]) == (200, 422, 422)
    assert refused[1]["error"]["message"] == "`age` must be from 0 to 120, got '200 y'."
    assert unread[1]["error"]["message"] == "`age` must be a number with `.` before decimals, y taken off or null, got 'old'."
    assert unread[1]["error"]["where"] == "$.rows[0].age"


def test_private_values_are_not_told(runtime: Runtime, make: Make) -> None:
    changed = expecting(runtime, Expectation(column="age", between=(0, 120)), private=("age",))
    service = make(changed)
    refused, _ = ask(service, {"rows": [{**ROW, "age": 130.5}]})
    assert refused[1]["error"]["message"] == "`age` must be from 0 to 120, got a private value."
    assert "130.5" not in json.dumps(refused[1])


def test_what_is_expected_is_described(runtime: Runtime, make: Make) -> None:
    service = make(expecting(runtime, Expectation(column="age", between=(0, 120)), repair=True, private=("city",)))
    told = msgspec.json.decode(service._schema().body)  # pyright: ignore[reportPrivateUsage]
    assert told["expect"] == ["age from 0 to 120"]
    assert told["inputs"][0]["type"] == "number"
    assert [one.get("private", False) for one in told["inputs"]] == [False, False, True]


def test_nothing_expected_costs_nothing(runtime: Runtime, make: Make) -> None:
    service = make(runtime)
    assert service._expected is None  # pyright: ignore[reportPrivateUsage]
    _, metrics = ask(service, {"rows": [ROW]})
    assert "fermion_expectation_broken_total" not in metrics[1]
