import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from fermion.bundle.runtime import Runtime
from fermion.cloud.page import curl
from fermion.cloud.reply import Reply
from fermion.cloud.service import Service

Make = Callable[..., Service]
ROW = {"age": 20, "member": True, "city": "Rome"}
JSON = [(b"content-type", b"application/json; charset=utf-8")]


async def call(service: Service, method: str, path: str, body: Any = b"") -> Reply:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    service.handle(method, path, body if isinstance(body, bytes) else json.dumps(body).encode(), future.set_result)
    return await asyncio.wait_for(future, 5)


def ask(service: Service, *calls: Any) -> list[Any]:
    """Every call's status and answer, from a service that was started; all calls are in flight together."""

    async def main() -> list[Any]:
        await service.start()
        replies = await asyncio.gather(*(call(service, *one) for one in calls))
        service.close()
        return [(reply.status, json.loads(reply.body)) for reply in replies]

    return asyncio.run(main())


def test_rows_and_columns_come_back_in_their_form(runtime: Runtime, make: Make) -> None:
    (rows_status, rows), (columns_status, columns) = ask(
        make(runtime),
        ("POST", "/v1/predict", {"rows": [ROW, {**ROW, "age": 70}]}),
        ("POST", "/v1/predict", b' {\n "columns": {"age": [20, 70], "member": [true, true], "city": ["Rome", "Rome"]}}'),
    )
    assert rows_status == columns_status == 200
    want = runtime.predict({"age": [20, 70], "member": [True] * 2, "city": ["Rome"] * 2})
    for key in ("prediction", "probabilities"):
        assert [row[key] for row in rows["rows"]] == columns["columns"][key] == want[key]
    assert rows["bundle"] == "0" * 64
    assert len({row["id"] for row in rows["rows"]} | set(columns["columns"]["id"])) == 4


def test_no_rows_give_no_rows(runtime: Runtime, make: Make) -> None:
    answers = ask(make(runtime), ("POST", "/v1/predict", {"rows": []}), ("POST", "/v1/predict", {"columns": {key: [] for key in ROW}}))
    assert answers[0] == (200, {"rows": [], "bundle": "0" * 64})
    assert answers[1] == (200, {"columns": {"prediction": [], "probabilities": [], "id": []}, "bundle": "0" * 64})


@pytest.mark.parametrize(
    ("body", "status", "message", "where"),
    [
        (ROW, 422, "a field must be one of rows, columns, got `age`", "$"),
        (b'{"rows": [', 400, "the body must be JSON", "body"),
        (b"", 400, "the body must be JSON", "body"),
        (b"\xff\xfe", 400, "the body must be JSON", "body"),
        (b'{"rows": [{"age": NaN, "member": true, "city": null}]}', 400, "the body must be JSON", "body"),
        (b"[" * 100_000, 422, "the body must be object", "$"),
        ({"rows": [{**ROW, "ag": 1}]}, 422, "a field must be one of age, member, city, got `ag`", "$.rows[0]"),
        ({"rows": [ROW, {"age": 1, "member": True}]}, 422, "`city` must be in every row, got no such field", "$.rows[1]"),
        ({"rows": [{**ROW, "age": "20"}]}, 422, "`$.rows[0].age` must be float, got str", "$.rows[0].age"),
        ({"rows": [{**ROW, "age": None}]}, 422, "`$.rows[0].age` must be float, got null", "$.rows[0].age"),
        ({"rows": [ROW, {**ROW, "age": 1e300}]}, 422, "`age` must be between", "$.rows[1].age"),
        ({"columns": {"age": [1, 1e300], "member": [True] * 2, "city": [None] * 2}}, 422, "`age` must be between", "$.columns.age[1]"),
        ({"rows": [ROW], "columns": {}}, 422, "either `rows` or `columns`, got both", "$"),
        ({"columns": {"age": [1], "member": [], "city": [None]}}, 422, "the lists in `columns` must be equally long", "$.columns"),
    ],
)
def test_bad_bodies_are_refused_and_neighbours_are_not(
    runtime: Runtime, make: Make, body: Any, status: int, message: str, where: str
) -> None:
    neighbour = ("POST", "/v1/predict", {"rows": [ROW]})
    before, refused, after = ask(make(runtime), neighbour, ("POST", "/v1/predict", body), neighbour)
    assert before[0] == after[0] == 200
    assert refused[0] == status
    assert set(refused[1]["error"]) == {"code", "message", "where", "remedy"}
    assert message in refused[1]["error"]["message"]
    assert refused[1]["error"]["where"] == where


def test_a_bare_row_is_told_what_to_send(runtime: Runtime, make: Make) -> None:
    ((_, told),) = ask(make(runtime), ("POST", "/v1/predict", ROW))
    assert told["error"]["remedy"].startswith('Send {"rows": [')


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], None),
        (JSON, None),
        ([(b"content-type", b"Application/JSON")], None),
        ([(b"content-type", b"text/csv")], 415),
        ([(b"content-encoding", b"gzip")], 415),
        ([(b"content-length", b"99999999999")], 413),
        ([(b"content-length", b"10")], None),
    ],
)
def test_headers_that_give_it_away(runtime: Runtime, make: Make, headers: Any, status: int | None) -> None:
    service = make(runtime)
    refused = service.refuse("POST", "/v1/predict", headers)
    assert (refused.status if refused else None) == status
    assert service.refuse("GET", "/healthz", headers) is None


def test_unknown_paths_and_wrong_methods(runtime: Runtime, make: Make) -> None:
    async def main() -> None:
        service = make(runtime)
        missing = await call(service, "POST", "/predict")
        assert missing.status == 404
        assert "Did you mean `/v1/predict`?" in missing.body.decode()
        wrong, other = await call(service, "GET", "/v1/predict"), await call(service, "DELETE", "/metrics")
        assert (wrong.status, other.status) == (405, 405)
        assert (b"allow", b"POST") in wrong.more
        assert (b"allow", b"GET, HEAD") in other.more

    asyncio.run(main())


def test_ready_only_between_warm_up_and_stop(runtime: Runtime, make: Make) -> None:
    async def main() -> None:
        service = make(runtime)
        early: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        service.handle("POST", "/v1/predict", json.dumps({"rows": [ROW]}).encode(), early.set_result)
        assert [(await call(service, "GET", path)).status for path in ("/healthz", "/readyz")] == [200, 503]
        await service.start()
        assert (await early).status == 200  # what came before is answered once the model is warm
        assert [(await call(service, "GET", path)).status for path in ("/healthz", "/readyz")] == [200, 200]
        service.stop()
        assert [(await call(service, "GET", path)).status for path in ("/healthz", "/readyz")] == [200, 503]
        refused = await call(service, "POST", "/v1/predict", {"rows": [ROW]})
        assert refused.status == 503
        assert (b"retry-after", b"1") in refused.more
        early_refusal = service.refuse("POST", "/v1/predict", [])
        assert early_refusal is not None
        assert early_refusal.status == 503

    asyncio.run(main())


def test_a_full_queue_is_503_with_retry_after_and_counted(runtime: Runtime, make: Make) -> None:
    async def main() -> None:
        service = make(runtime, queue=2)
        waiting = [asyncio.ensure_future(call(service, "POST", "/v1/predict", {"rows": [ROW, ROW]}))]
        await asyncio.sleep(0)
        refused = await call(service, "POST", "/v1/predict", {"rows": [ROW]})
        assert refused.status == 503
        assert (b"retry-after", b"1") in refused.more
        await service.start()
        assert (await waiting[0]).status == 200
        assert "fermion_rejected_total 1\n" in (await call(service, "GET", "/metrics")).body.decode()

    asyncio.run(main())


def test_metrics_count_what_happened(runtime: Runtime, make: Make) -> None:
    async def main() -> None:
        service = make(runtime)
        await service.start()
        body = {"rows": [ROW, {**ROW, "city": "Oslo"}, {**ROW, "city": None}]}
        await asyncio.gather(call(service, "POST", "/v1/predict", body), call(service, "POST", "/v1/predict", b"{"))
        await call(service, "GET", "/nowhere")
        service.hung_up(None)
        reply = await call(service, "GET", "/metrics")
        assert reply.kind.startswith(b"text/plain; version=0.0.4")
        text = reply.body.decode()
        for line in (
            'fermion_requests_total{route="/v1/predict",status="200"} 1',
            'fermion_requests_total{route="/v1/predict",status="400"} 1',
            'fermion_requests_total{route="other",status="404"} 1',
            "fermion_request_seconds_count 1",
            "fermion_batch_rows_count 1",
            "fermion_batch_rows_sum 3",
            'fermion_batch_rows_bucket{le="2"} 0',
            'fermion_batch_rows_bucket{le="4"} 1',
            "fermion_queue_rows 0",
            "fermion_hung_up_total 1",
            'fermion_unseen_total{column="city"} 1',
            f'fermion_bundle_info{{bundle="{"0" * 64}",name="club"}} 1',
            "fermion_ready 1",
        ):
            assert line + "\n" in text
        sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
        assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in text.splitlines())

    asyncio.run(main())


def test_a_model_that_fails_is_500_and_the_service_goes_on(
    runtime: Runtime, make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = runtime.run

    def fails(arrays: Any) -> Any:
        if (arrays["numbers"][:, 0] == 13).any():
            raise RuntimeError("secret detail")
        return real(arrays)

    monkeypatch.setattr(runtime, "run", fails)
    bad, fine = ask(make(runtime), ("POST", "/v1/predict", {"rows": [{**ROW, "age": 13}]}), ("POST", "/v1/predict", {"rows": [ROW]}))
    assert bad[0] == 500
    assert "secret detail" not in str(bad[1])
    assert "secret detail" in capsys.readouterr().err
    assert fine[0] == 200


def test_the_schema_stands_alone(two_targets: Runtime, make: Make) -> None:
    ((status, told),) = ask(make(two_targets), ("GET", "/v1/schema"))
    assert status == 200
    assert told["inputs"][0] == {"name": "age", "type": "number", "missing": False, "schema": {"type": "number"}}
    assert told["inputs"][2]["missing"] is True
    assert told["outputs"] == [
        {"target": "joins", "type": "probability", "classes": ["no", "yes"]},
        {"target": "spend", "type": "value"},
    ]
    references = re.findall(r'"\$ref": "(.*?)"', json.dumps(told["request"]))
    assert references
    assert all(there.removeprefix("#/$defs/") in told["request"]["$defs"] for there in references)


def test_openapi_has_what_it_refers_to(two_targets: Runtime, make: Make) -> None:
    ((_, told),) = ask(make(two_targets), ("GET", "/openapi.json"))
    assert told["openapi"] == "3.1.0"
    references = re.findall(r'"\$ref": "#/components/schemas/(.*?)"', json.dumps(told))
    assert set(references) <= set(told["components"]["schemas"])
    content = told["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"] == {"rows": [{"age": 20.0, "member": True, "city": "Rome"}]}
    assert set(told["components"]["schemas"]["Answer"]["properties"]["rows"]["items"]["properties"]) == {
        "prediction",
        "probabilities",
        "id",
    }


def test_a_long_example_on_the_command_line_is_fetched_from_the_service(runtime: Runtime, make: Make) -> None:
    short, long = (curl("http://h", {"clip": "A" * size}) for size in (10, 5000))
    assert short.endswith(f'-d \'{{"rows":[{{"clip":"{"A" * 10}"}}]}}\'')
    assert long == "curl -s http://h/v1/example | curl http://h/v1/predict -H 'content-type: application/json' -d @-"
    ((_, body),) = ask(make(runtime), ("GET", "/v1/example"))
    assert body == {"rows": [{"age": 20.0, "member": True, "city": "Rome"}]}


def test_the_page_needs_nothing_from_elsewhere(runtime: Runtime, make: Make) -> None:
    async def main() -> None:
        service = make(runtime)
        service.name = "<script>alert(1)</script>"
        page = await call(service, "GET", "/")
        text = page.body.decode()
        assert page.kind.startswith(b"text/html")
        assert not re.search(r'(?:src|href)="(?!/)|https?://', text)
        assert "<script>alert" not in text
        assert all(name in text for name in ("age", "member", "city", "/v1/predict", "curl"))
        assert (await call(service, "GET", "/docs")).body == page.body

    asyncio.run(main())
