"""Serve the registered digits bundle on a free port, ask it about one real picture, print the answer, stop it."""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_digits

from fermion import Client
from fermion.practice.live import started
from fermion.practice.project import bundle_path

digits = load_digits()
picture = (digits.images[1234] * 255 / 16).round().astype("uint8")

with started(bundle_path(Path(__file__).parent)) as service, Client(service.url) as client:
    print(f"serving on {service.url}, ready {service.seconds:.2f} s after the start")
    answer = client.predict({"image": picture[None]})
    sure = max(answer["probabilities"][0].values())
    print(f"the picture shows a {digits.target[1234]}; the service says {answer['prediction'][0]} ({sure:.1%})")
print(f"stopped, exit code {service.exit_code}")
