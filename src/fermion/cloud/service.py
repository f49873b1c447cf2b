"""The service: one plain object that answers requests. An HTTP layer only carries bytes to it and back."""

from __future__ import annotations

import asyncio
import functools
import re
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from fermion.bundle.bundle import Bundle
from fermion.bundle.golden import Golden
from fermion.bundle.runtime import Runtime
from fermion.cloud.answer import Answers
from fermion.cloud.batcher import Batcher, Cost, Row, Ticket, measure
from fermion.cloud.counters import Counters
from fermion.cloud.gate import Gate, placed
from fermion.cloud.reply import HTML, JSON, TEXT, Headers, Reply, refusal, status_of
from fermion.columns.column import Arrays
from fermion.columns.expect import said
from fermion.columns.private import within
from fermion.columns.set import Set
from fermion.core.errors import BundleError, DataError, FermionError, MissingExtra, RequestRejected, Told, ValueRejected, did_you_mean
from fermion.core.sections import Serve

Send = Callable[[Reply], None]

PREDICT = "/v1/predict"
_UNSEEN = 1  # a category's code for what training did not have
_COLUMNAR = re.compile(rb'\s*\{\s*"columns"').match


class Service:
    """Answers the requests of one bundle. It belongs to one event loop; `start` makes it ready, `stop` lets it finish.

    Routes: POST /v1/predict; GET /v1/schema, /v1/example, /healthz, /readyz, /metrics, /openapi.json, / and /docs. Every error is
    `{"error": {"code", "message", "where", "remedy"}}`.

    Args:
        runtime: answers batches.
        golden: rows to warm up with; the first is the example in the documentation.
        serve: the sizes of queue, batch and body.
        bundle: the id that every answer names.
        name: of the bundle.
    """

    def __init__(self, runtime: Runtime, golden: Golden, serve: Serve, *, bundle: str, name: str) -> None:
        self.runtime, self.golden, self.serve, self.bundle, self.name = runtime, golden, serve, bundle, name
        self._sets = [named for named in runtime.schema.layout.arrays if isinstance(within(runtime.schema.columns[named.field]), Set)]
        counted = [*(ref.field for ref in runtime.schema.layout.codes), *(named.field for named in self._sets)]
        self.counters = Counters(counted, map(said, runtime.schema.expect))
        self._expected = Gate.of(runtime.schema, self.counters)
        self.stopping = False
        self._warm = False
        self._requests = runtime.requests
        self._decode, self._encode = self._requests.decode, runtime.encode.rows
        self._answers = Answers(runtime.outputs, runtime.decisions, bundle)
        self._batcher = Batcher(self._predict_rows, room=serve.queue)
        self._routes: dict[str, Callable[[], Reply]] = {
            "/": self._docs,
            "/docs": self._docs,
            "/healthz": lambda: Reply(b'{"alive":true}'),
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/readyz": self._readyz,
            "/v1/example": self._example,
            "/v1/schema": self._schema,
        }

    @classmethod
    def of(cls, bundle: Bundle, serve: Serve | None = None) -> Service:
        """A service for a bundle, with the example and the warm-up from its golden rows."""
        serve = serve or Serve()
        return cls(bundle.runtime(threads=serve.threads), bundle.golden(), serve, bundle=bundle.id, name=bundle.manifest.name)

    @property
    def ready(self) -> bool:
        """Whether requests are taken: the model is warm, and nobody asked to stop."""
        return self._warm and not self.stopping

    @property
    def example(self) -> dict[str, Any] | None:
        """One row as a client would send it."""
        return {name: values[0] for name, values in self.golden.columns.items()} if len(self.golden) else None

    async def start(self) -> None:
        """Warm the model up and measure it; requests that came before are answered then.

        Raises:
            BundleError: the model does not answer its own golden rows.
            MissingExtra: a column reads with a package that is not installed.
        """
        cost = Cost(rows=self.serve.batch, inline=0)
        if len(self.golden):
            try:
                rows = self._decode(self.golden.body())
                cost = await asyncio.get_running_loop().run_in_executor(None, measure, self._dry, rows, self.serve.batch)
            except MissingExtra:
                raise  # the bundle is not to blame
            except Exception as bad:  # a model may raise anything
                raise BundleError("the golden rows", rule="answered by the bundle's own model", given=Told(str(bad))) from bad
        self._batcher.start(cost)
        self._warm = True

    def stop(self) -> None:
        """Take no new predictions; what waits is still answered."""
        self.stopping = True

    def close(self) -> None:
        """Let go of what the service holds."""
        self._batcher.close()

    def refuse(self, method: str, path: str, headers: Headers) -> Reply | None:
        """What can be said before the body is read: the refusal, or None."""
        if path != PREDICT or method != "POST":
            return None
        try:
            self._admit(headers)
        except RequestRejected as bad:
            return self._counted(refusal(bad))
        return None

    def too_large(self, given: str) -> Reply:
        """413, for a body that turns out to be too large while it is read."""
        return self._counted(refusal(_too_large(self.serve.body, given)))

    def rejected(self, bad: RequestRejected) -> Reply:
        """The refusal of what the HTTP layer could not read as a request."""
        self.counters.answered("other", bad.status)
        return refusal(bad)

    def handle(self, method: str, path: str, body: bytes, send: Send) -> Ticket | None:
        """Answer one request: `send` is called once, now or later on the event loop.

        Returns the ticket of a prediction that is not answered yet; `hung_up` takes it when the client is gone.
        """
        if path != PREDICT or method != "POST":
            answer = self._static(method, path)
            self.counters.answered(path if path in self._routes or path == PREDICT else "other", answer.status)
            send(answer)
            return None
        began = time.perf_counter()
        try:
            if self.stopping:
                raise _not_ready("one that is stopping")
            rows = self._decode(body)
            columnar = _COLUMNAR(body) is not None
            if self._expected is not None:
                self._expected(rows, columnar)
            done = functools.partial(self._done, began, columnar, send)
            if rows:
                return self._batcher.submit(rows, done)
            done([])
        except Exception as bad:  # whatever goes wrong is answered, and the service goes on
            send(self._failed(bad))
        return None

    def hung_up(self, ticket: Ticket | None) -> None:
        """A client left before its answer, or before its request was whole."""
        self.counters.hung_up += 1
        if ticket is not None:
            ticket.drop()

    def _done(self, began: float, columnar: bool, send: Send, answers: list[Any] | Exception) -> None:
        try:
            if isinstance(answers, Exception):
                raise placed(answers, self.runtime.schema.names, columnar) if isinstance(answers, ValueRejected) else answers
            body = self._answers.encode(answers, columnar)
        except Exception as bad:
            send(self._failed(bad))
            return
        counters = self.counters
        counters.predicted += 1
        counters.seconds.add(time.perf_counter() - began)
        send(Reply(body))

    def _failed(self, bad: Exception) -> Reply:
        if isinstance(bad, DataError | RequestRejected | MissingExtra):
            self.counters.full += status_of(bad) == 503 and not self.stopping
            return self._counted(refusal(bad))
        # The client is not to blame: in full on standard error, in short to the client.
        traceback.print_exception(bad)
        told = Told(type(bad).__name__)
        remedy = "The service's standard error says more."
        return self._counted(refusal(FermionError("the model", rule="able to answer this request", given=told, remedy=remedy)))

    def _counted(self, answer: Reply) -> Reply:
        self.counters.answered(PREDICT, answer.status)
        return answer

    def _admit(self, headers: Headers) -> None:
        """Refuse what its headers already give away."""
        if self.stopping:
            raise _not_ready("one that is stopping")
        for name, value in headers:
            if name == b"content-type":
                if value != JSON and value.split(b";")[0].strip().lower() != JSON:
                    raise _unsupported("the content type", "application/json", value, 'Send the header "content-type: application/json".')
            elif name == b"content-length":
                if value.isdigit() and int(value[:18]) > self.serve.body:
                    raise _too_large(self.serve.body, f"{value.decode()[:20]} bytes")
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise _unsupported("the content encoding", "identity", value, "Send the body without compression.")

    def _predict_rows(self, rows: list[Row]) -> list[Any]:
        encoded, arrays = self._compute(rows)
        answers = self._answers.rows(arrays)
        self._answered(len(rows), encoded)
        return answers

    def _compute(self, rows: list[Row]) -> tuple[Arrays, Arrays]:
        encoded = self._encode(rows)
        return encoded, self.runtime.run(encoded)

    def _dry(self, rows: list[Row]) -> list[Any]:
        """The work of a batch without its traces."""
        return self._answers.rows(self._compute(rows)[1])

    def _answered(self, rows: int, encoded: Arrays) -> None:
        """Every batch passes here once, after its answers are made and before they leave."""
        self.counters.batches.add(rows)
        codes_NC = encoded.get("codes")
        if codes_NC is not None:
            unseen_C = np.count_nonzero(codes_NC == _UNSEEN, axis=0)
            if unseen_C.any():
                for ref, count in zip(self.runtime.schema.layout.codes, unseen_C.tolist(), strict=True):
                    self.counters.unseen[ref.field] += count
        for named in self._sets:  # rows with a name that training did not have
            self.counters.unseen[named.field] += int(np.count_nonzero(encoded[named.name][:, _UNSEEN]))

    def _static(self, method: str, path: str) -> Reply:
        route = self._routes.get(path)
        allowed = "POST" if path == PREDICT else "GET, HEAD"
        if route is None and path != PREDICT:
            known = [PREDICT, *self._routes]
            remedy = did_you_mean(path, known) or "GET / describes the service."
            return refusal(
                RequestRejected("the path", rule=f"one of {', '.join(known)}", given=path, remedy=remedy, where=path, status=404)
            )
        if route is None or method not in ("GET", "HEAD"):
            bad = RequestRejected("the method", rule=allowed.replace(",", " or"), given=Told(method[:20]), where=path, status=405)
            return refusal(bad, [(b"allow", allowed.encode())])
        return route()

    def _readyz(self) -> Reply:
        if self.ready:
            return Reply(b'{"ready":true}')
        return refusal(_not_ready("one that is stopping" if self.stopping else "one that is warming up"))

    def _metrics(self) -> Reply:
        text = self.counters.text(waiting=self._batcher.waiting, ready=self.ready, about={"bundle": self.bundle, "name": self.name})
        return Reply(text.encode(), kind=TEXT)

    def _example(self) -> Reply:
        return Reply(msgspec.json.encode({"rows": [self.example or {}]}))

    # The descriptions are imported when somebody reads them: the first prediction comes sooner without.

    def _document(self) -> dict[str, Any]:
        from fermion.cloud import describe

        return describe.schema_document(self._requests, self.runtime.outputs, bundle=self.bundle, name=self.name)

    def _schema(self) -> Reply:
        return Reply(msgspec.json.encode(self._document()))

    def _openapi(self) -> Reply:
        from fermion.cloud import describe

        document = describe.openapi(self._requests, self.runtime.outputs, bundle=self.bundle, name=self.name, example=self.example)
        return Reply(msgspec.json.encode(document))

    def _docs(self) -> Reply:
        from fermion.cloud.page import docs_page

        return Reply(docs_page(self._document(), self.example), kind=HTML, more=[_POLICY])


_POLICY = (b"content-security-policy", b"default-src 'self' 'unsafe-inline'")  # the page loads nothing from elsewhere


def _too_large(most: int, given: str) -> RequestRejected:
    return RequestRejected(
        "the body",
        rule=f"at most {most} bytes",
        given=Told(given),
        remedy="Send fewer rows per request, or serve with a larger `serve.body`.",
        where="body",
        status=413,
    )


def _not_ready(given: str) -> RequestRejected:
    return RequestRejected(
        "the service", rule="ready", given=Told(given), remedy="Send it again in a moment: another copy may answer.", status=503
    )


def _unsupported(subject: str, rule: str, given: bytes, remedy: str) -> RequestRejected:
    return RequestRejected(subject, rule=rule, given=Told(given[:60].decode("latin-1")), remedy=remedy, where="headers", status=415)
