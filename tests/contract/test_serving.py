"""The service of the guide, by a real uvicorn: many requests at once, workers that are spawned or forked.

``DSAE_REQUESTS`` says how many; ``make serving`` asks for a thousand.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from tests.ports import free_port

import dsae
from dsae import store

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

REQUESTS = int(os.environ.get("DSAE_REQUESTS", "60"))
GUIDE = Path(__file__).parents[2] / "docs" / "user" / "serving.md"
# The service, and a way to look into its processes.
PROBED = """
import os, sys
from service import app

@app.get("/process")
def process() -> dict:
    return {"pid": os.getpid(), "torch": "torch" in sys.modules}
"""
# As gunicorn --preload: the model is loaded, and has computed, before there are workers.
FORKED = """
import os, signal, socket, sys
import numpy as np, uvicorn
from probed import app
from service import model

model.encode(np.zeros((2000, model.config.n_features)))
shared = socket.create_server(("127.0.0.1", int(sys.argv[1])))
workers = []
for _ in range(2):
    workers.append(os.fork())
    if not workers[-1]:
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[shared])
        os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in workers])
for pid in workers:
    os.waitpid(pid, 0)
"""


@pytest.fixture(scope="module")
def folder(make_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    store.write(folder / "model", make_model(64, 16, 0.2, hidden_layer_sizes=(48,), code_activation="topk", k=5))
    (service,) = re.findall(r'```python title="service.py"\n(.*?)```', GUIDE.read_text("utf-8"), re.DOTALL)
    assert len(service.splitlines()) <= 17
    for name, text in {"service": service, "probed": PROBED, "forked": FORKED}.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    return folder


def ask(port, path, content=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        body = None if content is None else json.dumps(content)
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def until(true, process, seconds=300):
    """Wait for what comes in its own time; a process that has ended ends the wait, too."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(port):
    try:
        return ask(port, "/process")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("start", ["spawned", "forked"])
def test_many_requests_are_answered_as_by_the_model(folder, start):
    port = free_port()
    options = ["-m", "uvicorn", "probed:app", "--workers", "2", "--log-level", "warning", "--port", str(port)]
    command = [sys.executable, *(options if start == "spawned" else ["forked.py", str(port)])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: answers(port), process)
        torch_in = {}

        def both_answered():
            told = ask(port, "/process")[1]
            torch_in[told["pid"]] = told["torch"]
            return len(torch_in) == 2

        until(both_answered, process)
        check(port, dsae.load(folder / "model"))
        assert not any(torch_in.values())
        assert not ask(port, "/process")[1]["torch"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=300)
        process.stderr.close()


def check(port, model):
    rng = np.random.default_rng(0)
    batches = [rng.random((rng.integers(1, 9), 64)).astype(np.float32) for _ in range(REQUESTS)]
    expected = [model.encode(rows) for rows in batches]
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda rows: ask(port, "/encode", {"rows": rows.tolist()}), batches))
    assert {status for status, _ in found} == {200}
    for (_, codes), wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.array(codes, np.float32), wanted)
    status, answer = ask(port, "/encode", {"rows": [[1.0, 2.0]]})
    assert (status, answer["detail"].split(";")[0]) == (
        422,
        "[encode] X must have 64 columns, the model's input width",
    )
