"""The server that a careful person writes by hand: FastAPI, pydantic and ONNX Runtime, on uvicorn with uvloop and httptools.

Named fields are checked by pydantic, the label output of the graph is gone, ONNX Runtime has one thread, the answer is declared as a
pydantic model, which FastAPI serialises without a detour through Python objects. `async def`, because the model call is shorter than
a hop to a thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, create_model

FEATURES = [f"feature_{position:02d}" for position in range(30)]

Row = create_model("Row", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **dict.fromkeys(FEATURES, (float, ...)))


class Request(BaseModel):
    rows: list[Row]


class Prediction(BaseModel):
    prediction: bool
    probabilities: dict[str, float]


class Answer(BaseModel):
    rows: list[Prediction]


def application(graph: Path) -> FastAPI:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    session.run(["probabilities"], {"numbers": np.zeros((1, 30), np.float32)})
    app = FastAPI()

    @app.post("/v1/predict")
    async def predict(request: Request) -> Answer:
        x_NF = np.array([list(row.__dict__.values()) for row in request.rows], dtype=np.float32)
        (p_NK,) = session.run(["probabilities"], {"numbers": x_NF})
        return Answer(rows=[Prediction(prediction=p[1] > p[0], probabilities={"false": p[0], "true": p[1]}) for p in p_NK.tolist()])

    return app


# pydantic resolves postponed annotations in the module's own namespace.
Request.model_rebuild()

if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[1])), port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
