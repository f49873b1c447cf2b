"""The service's readable page: routes, inputs and a form to try it, in one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import html
from typing import Any

import msgspec

LONGEST = 500  # characters of an example that a command line shows

ROUTES = (
    ("POST", "/v1/predict", "Predict rows or columns."),
    ("GET", "/v1/schema", "Inputs, outputs and the JSON Schema of a request."),
    ("GET", "/v1/example", "The body of a request that is answered."),
    ("GET", "/healthz", "Whether the process is alive."),
    ("GET", "/readyz", "Whether requests are taken."),
    ("GET", "/metrics", "Counts for Prometheus."),
    ("GET", "/openapi.json", "The service as OpenAPI 3.1."),
)


def docs_page(document: dict[str, Any], example: dict[str, Any] | None) -> bytes:
    """The page, from what `/v1/schema` answers and an example row."""
    body = msgspec.json.format(msgspec.json.encode({"rows": [example or {}]}), indent=2).decode()
    routes = "".join(f"<tr><td>{method}</td><td>{_link(method, path)}</td><td>{says}</td></tr>" for method, path, says in ROUTES)
    inputs = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{html.escape(one['type'])}</td>"
        f"<td>{'yes' if one['missing'] else 'no'}</td><td><code>{html.escape(_shown((example or {}).get(one['name'])))}</code></td></tr>"
        for one in document["inputs"]
    )
    outputs = "".join(
        f"<tr><td><code>{html.escape(one['target'])}</code></td><td>{html.escape(_means(one))}</td></tr>" for one in document["outputs"]
    )
    return _PAGE.format(
        name=html.escape(document["name"]),
        bundle=html.escape(document["bundle"]),
        routes=routes,
        inputs=inputs,
        outputs=outputs,
        body=html.escape(body),
        curl=html.escape(curl("", example)),
    ).encode()


def curl(url: str, example: dict[str, Any] | None) -> str:
    """The command that sends the example row; a long one, such as a picture, is fetched from the service itself.

    >>> print(curl("http://127.0.0.1:8080", {"age": 20}))
    curl http://127.0.0.1:8080/v1/predict -H 'content-type: application/json' -d '{"rows":[{"age":20}]}'
    >>> print(curl(":8080", {"clip": "A" * 5000}))
    curl -s :8080/v1/example | curl :8080/v1/predict -H 'content-type: application/json' -d @-
    """
    body = msgspec.json.encode({"rows": [example or {}]}).decode()
    send = f"curl {url}/v1/predict -H 'content-type: application/json' -d"
    if len(body) > LONGEST:
        return f"curl -s {url}/v1/example | {send} @-"
    return f"{send} '" + body.replace("'", "'\\''") + "'"


def _link(method: str, path: str) -> str:
    return f'<a href="{path}">{path}</a>' if method == "GET" else f"<code>{path}</code>"


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _means(output: dict[str, Any]) -> str:
    if output["type"] != "probability":
        return "a number"
    classes = [str(label) for label in output["classes"]]
    more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    return "one of " + ", ".join(classes[:20]) + more


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #8881; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin-top: 2rem; }} small {{ opacity: .7; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }}
textarea, pre {{ width: 100%; box-sizing: border-box; font: 14px/1.4 ui-monospace, monospace; background: var(--soft);
  border: 1px solid var(--line); border-radius: 6px; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }}
button {{ font: inherit; padding: .3rem 1.2rem; }}
</style></head><body>
<h1>{name}</h1><small>bundle {bundle}</small>
<h2>Try it</h2>
<label for="body">The body of POST /v1/predict</label>
<textarea id="body" rows="14" spellcheck="false">{body}</textarea>
<button id="send">Send</button> <span id="took" role="status"></span>
<pre id="answer" aria-live="polite">The answer appears here.</pre>
<h2>On the command line</h2><pre id="curl">{curl}</pre>
<h2>Inputs</h2><table><thead><tr><th>Name</th><th>Type</th><th>May be null</th><th>Example</th></tr></thead><tbody>{inputs}</tbody></table>
<h2>Outputs</h2><table><tbody>{outputs}</tbody></table>
<h2>Routes</h2><table><tbody>{routes}</tbody></table>
<script>
const show = document.getElementById("curl");
show.textContent = show.textContent.replaceAll(/(curl (-s )?)(?=[/]v1)/g, "$1" + location.origin);
document.getElementById("send").addEventListener("click", async () => {{
  const answer = document.getElementById("answer"), took = document.getElementById("took"), began = performance.now();
  try {{
    const reply = await fetch("/v1/predict", {{
      method: "POST", headers: {{ "content-type": "application/json" }}, body: document.getElementById("body").value }});
    const text = await reply.text();
    took.textContent = reply.status + " in " + (performance.now() - began).toFixed(1) + " ms";
    try {{ answer.textContent = JSON.stringify(JSON.parse(text), null, 2); }} catch {{ answer.textContent = text; }}
  }} catch (failed) {{ took.textContent = ""; answer.textContent = String(failed); }}
}});
</script></body></html>
"""
