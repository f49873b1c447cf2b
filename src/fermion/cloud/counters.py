"""What the service counts, as plain integers, and the text that Prometheus reads."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """Counts by upper bound, with a sum.

    >>> sizes = Histogram((1, 2))
    >>> sizes.add(2); sizes.add(9); sizes.counts, sizes.sum
    ([0, 1, 1], 11.0)
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """One more observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, says: str) -> list[str]:
        """The histogram in Prometheus' text format."""
        totals = list(itertools.accumulate(self.counts))
        return [
            f"# HELP {name} {says}",
            f"# TYPE {name} histogram",
            *(f'{name}_bucket{{le="{bound:g}"}} {total}' for bound, total in zip(self.bounds, totals, strict=False)),
            f'{name}_bucket{{le="+Inf"}} {totals[-1]}',
            f"{name}_sum {self.sum:.9g}",
            f"{name}_count {totals[-1]}",
        ]


class Counters:
    """All counts of one service.

    `unseen` is by column: values of categories that training did not have. `broken` is by expectation: rows that did not keep it.
    """

    def __init__(self, categories: Iterable[str], expectations: Iterable[str] = ()) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds, self.batches = Histogram(SECONDS), Histogram(ROWS)
        self.full = self.hung_up = self.predicted = 0  # predicted: predictions answered with 200
        self.unseen = dict.fromkeys(categories, 0)
        self.broken = dict.fromkeys(expectations, 0)

    def answered(self, route: str, status: int) -> None:
        """One more request with this answer."""
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def text(self, *, waiting: int, ready: bool, about: Mapping[str, str]) -> str:
        """Everything in Prometheus' text format 0.0.4.

        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        requests = {**self.requests, ("/v1/predict", 200): self.predicted}
        lines = _metric("fermion_bundle_info", "gauge", "The bundle that answers.", {_labels(about): 1})
        by_answer = {_labels({"route": route, "status": str(status)}): count for (route, status), count in sorted(requests.items())}
        lines += _metric("fermion_requests_total", "counter", "Requests answered, by route and status.", by_answer)
        lines += self.seconds.lines("fermion_request_seconds", "Seconds from a whole prediction request to its answer.")
        lines += self.batches.lines("fermion_batch_rows", "Rows per model call; the sum is the rows answered.")
        lines += _metric("fermion_queue_rows", "gauge", "Rows that wait for a model call.", {"": waiting})
        lines += _metric("fermion_rejected_total", "counter", "Requests refused because the queue was full.", {"": self.full})
        lines += _metric("fermion_hung_up_total", "counter", "Clients that left before their request was whole.", {"": self.hung_up})
        unseen = {_labels({"column": name}): count for name, count in self.unseen.items()}
        lines += _metric("fermion_unseen_total", "counter", "Values of a category that training did not have.", unseen)
        broken = {_labels({"expectation": name}): count for name, count in self.broken.items()}
        if broken:
            lines += _metric("fermion_expectation_broken_total", "counter", "Rows that broke an expectation, refused or answered.", broken)
        lines += _metric("fermion_ready", "gauge", "1 while requests are taken.", {"": int(ready)})
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, says: str, values: Mapping[str, int]) -> list[str]:
    return [f"# HELP {name} {says}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in values.items())]


def _labels(pairs: Mapping[str, str]) -> str:
    r"""Labels as Prometheus reads them.

    >>> _labels({"column": 'a "b"'})
    '{column="a \\"b\\""}'
    """
    escaped = {name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, text in pairs.items()}
    return "{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + "}"
