"""ONNX Runtime alone, one thread: microseconds per picture at one batch size. GRAPH BATCH SECONDS"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import onnxruntime as ort
from subjects import pictures

graph, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
(name,) = [one.name for one in session.get_inputs()]
batch_of_pictures = np.ascontiguousarray(pictures(batch))
for _ in range(10):
    session.run(None, {name: batch_of_pictures})
took: list[float] = []
began, began_cpu = time.perf_counter(), time.process_time()
while time.perf_counter() - began < seconds:
    start = time.perf_counter()
    session.run(None, {name: batch_of_pictures})
    took.append(time.perf_counter() - start)
print(
    json.dumps(
        {
            "us_per_row": statistics.fmean(took) / batch * 1e6,
            "median_us_per_row": statistics.median(took) / batch * 1e6,
            "cpu_us_per_row": (time.process_time() - began_cpu) / len(took) / batch * 1e6,
        }
    )
)
