"""``serve``: what goes over the wire is what ``Session`` makes; what may not is a sentence."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import knightlite
from knightlite.cli.program import run as command
from knightlite.errors import KnightliteError, UsageError
from knightlite.serving import protocol, run
from knightlite.serving.application import Limits, Server, names_of
from knightlite.serving.protocol import Request, read_request, write_response
from knightlite.serving.served import Served, Source, sources

Array = NDArray[Any]
Capture = pytest.CaptureFixture[str]
NET = "digits_quantize"
MOST, FRAMES = 1 << 20, 4
TOKEN = "0123456789abcdef-token"


class Wire:
    """A server in a thread, asked over real connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        config = uvicorn.Config(server.application(), log_level="critical", lifespan="off")
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [self._listening]}, daemon=True
        )
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def infer(self, value: Any, binary: bytes = b"") -> tuple[int, Mapping[str, str], bytes]:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"Inference-Header-Content-Length": str(len(text))} if binary else {}
        return self.ask("POST", f"/v2/models/{NET}/infer", text + binary, headers)

    def close(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(30)


@pytest.fixture(scope="module")
def cfg(digits_chain: Path) -> Path:
    return digits_chain / f"{NET}_r.cfg"


@pytest.fixture(scope="module")
def wire(cfg: Path) -> Iterator[Wire]:
    network = Served(Source(NET, cfg), "numpy", 2, FRAMES)
    server = Server({NET: network}, Limits(8, MOST, 20.0), names_of("127.0.0.1", ["npu.example"]))
    made = Wire(server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def frames() -> Array:
    return np.random.default_rng(0).normal(0, 1, (2, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def wanted(cfg: Path, frames: Array) -> Array:
    (found,) = knightlite.Session(cfg).run(None, {"x": frames})
    return found


def fed(values: Array, **more: Any) -> dict[str, Any]:
    data = {} if "parameters" in more else {"data": values.tolist()}
    return {"name": "x", "datatype": "FP32", "shape": [*values.shape], **data, **more}


def output_of(answer: tuple[int, Mapping[str, str], bytes]) -> Array:
    """The only output, of JSON or of binary."""
    status, headers, body = answer
    assert status == 200, body
    size = headers.get("inference-header-content-length")
    value = json.loads(body if size is None else body[: int(size)])
    (entry,) = value["outputs"]
    dtype = protocol.DTYPES[entry["datatype"]]
    if size is None:
        return np.array(entry["data"], dtype).reshape(entry["shape"])
    assert headers["content-type"] == "application/octet-stream"
    rest = body[int(size) :]
    assert len(rest) == entry["parameters"]["binary_data_size"]
    return np.frombuffer(rest, dtype).reshape(entry["shape"])


# ------------------------------------------------------------------ what is there


def test_what_the_protocol_says_of_server_and_network(wire: Wire) -> None:
    status, headers, body = wire.ask("GET", "/v2")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "name": "knightlite",
        "version": knightlite.__version__,
        "extensions": ["binary_tensor_data"],
    }
    for path in (f"/v2/models/{NET}", f"/v2/models/{NET}/versions/1"):
        assert json.loads(wire.ask("GET", path)[2]) == {
            "name": NET,
            "versions": ["1"],
            "platform": "knightlite",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}],
            "outputs": [{"name": "linear_0.tmp_1", "datatype": "FP32", "shape": [-1, 10]}],
        }
        assert wire.ask("GET", f"{path}/ready")[0] == 200
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert wire.ask("GET", path)[::2] == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/", 404, "there is nothing at this address."),
        ("GET", "/v2/models/none", 404, "there is no network 'none' here."),
        ("GET", "/v2/models/..%2f..%2fetc", 404, "there is nothing at this address."),
        ("GET", f"/v2/models/{NET}/versions/2", 404, f"network {NET} has version 1 only."),
        ("POST", "/v2/models/none/infer", 404, "there is no network 'none' here."),
        ("GET", f"/v2/models/{NET}/infer", 405, "this address takes another method."),
        ("DELETE", "/v2", 405, "this address takes another method."),
        ("POST", f"/v2/repository/models/{NET}/unload", 404, "there is nothing at this address."),
    ],
)
def test_addresses_that_are_none(
    wire: Wire, method: str, path: str, status: int, sentence: str
) -> None:
    found, _, body = wire.ask(method, path)
    assert (found, json.loads(body)) == (status, {"error": sentence})


# ------------------------------------------------------------------ the same bytes


@pytest.mark.parametrize("sent", ["json", "nested", "binary"])
@pytest.mark.parametrize("received", ["json", "binary", "all binary", "named"])
def test_every_form_gives_the_bytes_of_a_session(
    wire: Wire, frames: Array, wanted: Array, sent: str, received: str
) -> None:
    entry, behind = fed(frames), b""
    if sent == "json":
        entry["data"] = frames.ravel().tolist()
    if sent == "binary":
        behind = frames.tobytes()
        entry = fed(frames, parameters={"binary_data_size": len(behind)})
    value: dict[str, Any] = {"id": "7", "inputs": [entry]}
    if received == "all binary":
        value["parameters"] = {"binary_data_output": True}
    elif received != "json":
        own = {"parameters": {"binary_data": received == "binary"}}
        value["outputs"] = [{"name": "linear_0.tmp_1", **own}]
    answer = wire.infer(value, behind)
    found = output_of(answer)
    assert found.dtype == wanted.dtype
    assert found.tobytes() == wanted.tobytes()
    assert ("inference-header-content-length" in answer[1]) == ("binary" in received)
    assert b'"id":"7"' in answer[2]


def test_integers_as_the_chip_stores_them(wire: Wire, cfg: Path) -> None:
    values = np.random.default_rng(1).integers(-128, 128, (1, 3, 32, 32)).astype(np.int8)
    entry = {**fed(values), "datatype": "INT8"}
    (same,) = knightlite.Session(cfg).run(None, {"x": values})
    assert output_of(wire.infer({"inputs": [entry]})).tobytes() == same.tobytes()


@pytest.mark.parametrize("form", ["base64", "binary"])
def test_pictures_go_through_the_recipe_of_the_cfg(
    wire: Wire, digits_chain: Path, cfg: Path, form: str
) -> None:
    paths = [min((digits_chain / "calib" / label).iterdir()) for label in "37"]
    session = knightlite.Session(cfg)
    prepared = np.concatenate([session.prepare(path) for path in paths])
    (same,) = session.run(None, {"x": prepared})
    pictures = [path.read_bytes() for path in paths]
    entry: dict[str, Any] = {"name": "x", "datatype": "BYTES", "shape": [2]}
    behind = b""
    if form == "base64":
        entry["parameters"] = {"content_type": "base64"}
        entry["data"] = [base64.b64encode(item).decode() for item in pictures]
    else:
        behind = b"".join(struct.pack("<I", len(item)) + item for item in pictures)
        entry["parameters"] = {"binary_data_size": len(behind)}
    assert output_of(wire.infer({"inputs": [entry]}, behind)).tobytes() == same.tobytes()


# ------------------------------------------------------------------ what may not be


def words(**more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0], **more}


DEEP = b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}"
REFUSED: list[tuple[Any, bytes, str]] = [
    (b"\xff", b"", "the request is not JSON: "),
    (DEEP, b"", "the request is not JSON: objects and lists are nested more than 64 deep."),
    (b"[]", b"", "the request must be a JSON object."),
    ({}, b"", "the request has no inputs."),
    ({"inputs": {}}, b"", "inputs must be a list of objects."),
    ({"inputs": [1]}, b"", "inputs must be a list of objects."),
    ({"inputs": [{}] * 65}, b"", "inputs must be at most 64."),
    ({"id": 5, "inputs": [words()]}, b"", "id must be a text of up to 256 letters."),
    ({"id": "n" * 257, "inputs": [words()]}, b"", "id must be a text of up to 256 letters."),
    ({"parameters": [], "inputs": [words()]}, b"", "parameters of the request must be "),
    ({"inputs": [words(name="")]}, b"", "the name of an input must be a text"),
    ({"inputs": [words(), words()]}, b"", "input x is there twice."),
    ({"inputs": [words(shape=[])]}, b"", "the shape of input x must be a list of up to 8 sizes."),
    ({"inputs": [words(shape=[1] * 9)]}, b"", "the shape of input x must be a list of up to 8"),
    ({"inputs": [words(shape=[-1])]}, b"", "the shape of input x must be a list of up to 8 sizes."),
    ({"inputs": [words(shape=[True])]}, b"", "the shape of input x must be a list of up to 8"),
    ({"inputs": [words(shape=[10**9] * 2)]}, b"", "has 1000000000000000000 values, not 1."),
    ({"inputs": [words(data=[1.0, 2.0])]}, b"", "input x of shape [1] has 1 values, not 2."),
    ({"inputs": [words(data=[])]}, b"", "input x of shape [1] has 1 values, not 0."),
    ({"inputs": [fed(np.zeros(1), datatype="BYTES", parameters={"binary_data_size": 8})]},
     bytes(8), "input x of shape [1] has 1 values, not 2."),
    ({"inputs": [words(data=None)]}, b"", "input x of FP32 holds None."),
    ({"inputs": [words(data=[True])]}, b"", "input x of FP32 holds True."),
    ({"inputs": [words(data=[1e39])]}, b"", "input x holds a number that is none of FP32."),
    (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}', b"",
     "input x holds values that are no numbers."),
    ({"inputs": [words(datatype="INT8", data=[300])]}, b"", "a number that is none of INT8."),
    ({"inputs": [words(datatype="INT8", data=[1.5])]}, b"", "input x of INT8 holds 1.5."),
    ({"inputs": [words(datatype="BOOL", data=[1])]}, b"", "input x of BOOL holds 1."),
    ({"inputs": [words(datatype="FP8")]}, b"", "the datatype of input x must be one of BOOL, "),
    ({"inputs": [words(datatype=[])]}, b"", "the datatype of input x must be one of BOOL, "),
    ({"inputs": [words(datatype="BYTES", data=["a"])]}, b"", "JSON holds no bytes: send input x"),
    ({"inputs": [words(datatype="BYTES", data=["!"], parameters={"content_type": "base64"})]}, b"",
     "input x holds an element that is no base64."),
    ({"inputs": [words(datatype="BYTES", data=["AAAA"], parameters={"content_type": "base64"})]},
     b"", "what was sent is not a picture in one of the formats "),
    ({"inputs": [words(parameters={"binary_data_size": 4})]}, b"1234",
     "input x has data and binary_data_size."),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, b"",
     "input x has neither data nor binary_data_size."),
    ({"inputs": [fed(np.zeros(1), parameters={"binary_data_size": 5})]}, b"1234",
     "binary_data_size of input x must be up to 4, not 5."),
    ({"inputs": [fed(np.zeros(1), parameters={"binary_data_size": -1})]}, b"1234",
     "binary_data_size of input x must be up to 4, not -1."),
    ({"inputs": [fed(np.zeros(2), parameters={"binary_data_size": 4})]}, b"1234",
     "input x of FP32 [2] takes 8 bytes, not 4."),
    ({"inputs": [fed(np.zeros(1), parameters={"binary_data_size": 4})]}, b"12345",
     "1 bytes are left behind the last tensor."),
    ({"inputs": [fed(np.zeros(1), datatype="BYTES", parameters={"binary_data_size": 3})]}, b"123",
     "input x ends inside a length."),
    ({"inputs": [fed(np.zeros(1), datatype="BYTES", parameters={"binary_data_size": 5})]},
     b"\2\0\0\0a", "input x ends inside an element of 2 bytes."),
    ({"inputs": [words()]}, b"", "input x must have shape (N, 3, 32, 32), not (1,)."),
    ({"inputs": [words(name="y")]}, b"", "the feed must have the inputs x, not y."),
    ({"inputs": [fed(np.zeros((FRAMES + 1, 1)))]}, b"",
     "input x has 5 frames, and at most 4 are taken at a time. Hint: send several requests"),
    ({"inputs": [words()], "outputs": [{"name": "z"}]}, b"", "the network has no output z."),
    ({"inputs": [words()], "outputs": [{"name": "z"}, {"name": "z"}]}, b"", "output z is there "),
    ({"inputs": [words()], "outputs": [{"name": "z", "parameters": {"classification": 3}}]}, b"",
     "this server gives scores, not classes: leave classification out."),
    ({"inputs": [words()], "outputs": [{"name": "z", "parameters": {"binary_data": 1}}]}, b"",
     "binary_data must be true or false."),
]  # fmt: skip


@pytest.mark.parametrize(("value", "behind", "sentence"), REFUSED, ids=lambda item: str(item)[:50])
def test_requests_that_are_refused(wire: Wire, value: Any, behind: bytes, sentence: str) -> None:
    status, _, body = wire.infer(value, behind)
    assert status == 400
    assert sentence in json.loads(body)["error"]


def test_a_length_of_the_header_that_is_none(wire: Wire) -> None:
    for text in ("x", "-1", "99", "\xb2", "9" * 5000):
        headers = {"Inference-Header-Content-Length": text}
        status, _, body = wire.ask("POST", f"/v2/models/{NET}/infer", b"{}", headers)
        assert status == 400
        assert "must be a number of up to 2 bytes" in json.loads(body)["error"]


def test_bodies_that_are_too_large(wire: Wire) -> None:
    """By what they say of themselves, before they come, and by what comes."""
    path = f"/v2/models/{NET}/infer"
    assert wire.ask("POST", path, b" " * MOST)[0] == 400
    chunk = f"{MOST:x}\r\n".encode() + b" " * MOST + b"\r\n"
    for sent, status in (
        (f"Content-Length: {MOST + 1}\r\n\r\n".encode(), b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"1\r\n \r\n", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n", b"400"),
    ):
        with socket.create_connection(("127.0.0.1", wire.port)) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + sent)
            assert connection.recv(65536).split()[1] == status
    status_, _, body = wire.ask("POST", path, b"{}", {"Content-Encoding": "gzip"})
    assert (status_, json.loads(body)["error"]) == (
        415, "bodies coded as 'gzip' are not read: send them plain.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:1", 200), ("127.0.0.1:8000", 200), ("[::1]:80", 200),
        ("npu.example", 200), ("npu.example:9", 200), ("evil.example", 421), ("", 421),
        ("localhost.evil.example", 421), ("[::1].evil", 200), ("127.0.0.2", 421),
    ],
)  # fmt: skip
def test_hosts(wire: Wire, host: str, status: int) -> None:
    assert wire.ask("GET", "/v2", headers={"Host": host})[0] == status


def test_metrics_count(wire: Wire, frames: Array) -> None:
    def counted(line: str) -> float:
        text = wire.ask("GET", "/metrics")[2].decode()
        found = [item for item in text.splitlines() if item.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    lines = (
        f'knightlite_requests_total{{code="200",model="{NET}"}}',
        f'knightlite_requests_total{{code="400",model="{NET}"}}',
        f'knightlite_frames_total{{model="{NET}"}}',
        f'knightlite_request_seconds_count{{model="{NET}"}}',
    )
    before = [counted(line) for line in lines]
    assert wire.infer({"inputs": [fed(frames)]})[0] == 200
    assert wire.infer({})[0] == 400
    after = [counted(line) for line in lines]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 2]
    assert counted("knightlite_pending_requests") == 0


def test_odd_numbers_are_logged_and_not_of_every_request(
    cfg: Path, frames: Array, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Session warns of them; what a request sent is not in it, and answers are the same."""
    clock = [100.0]
    told = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr("knightlite.serving.served.time", told)
    network = Served(Source(NET, cfg), "numpy", 1, FRAMES)

    def run(values: Array) -> list[str]:
        caplog.clear()
        network.run(Request("", {"x": values}, None, False))
        return [record.getMessage() for record in caplog.records]

    with pytest.warns(UserWarning, match="beyond") as warned:
        knightlite.Session(cfg).run(None, {"x": 100 * frames})
    said = [f"{NET}: {item.message}" for item in warned]
    assert "beyond" in said[0]
    assert run(frames / 4) == []
    assert run(100 * frames) == said
    for later, wanted in ((59.0, []), (1.5, said), (1.0, [])):
        clock[0] += later
        assert run(100 * frames) == wanted


# ------------------------------------------------------------------ too many, too slow, ending


class Slow:
    """A network that works until it is told."""

    def __init__(self) -> None:
        self.name, self.turns = NET, anyio.CapacityLimiter(1)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def run(self, request: Request) -> tuple[dict[str, Array], int]:
        self.begun.release()
        assert self.go_on.wait(30)
        return {"y": np.zeros(1, np.float32)}, 1


def slow_server(limits: Limits, token: str | None = None) -> tuple[Wire, Slow]:
    network: Any = Slow()
    return Wire(Server({NET: network}, limits, token=token)), network


def in_threads(wire: Wire, count: int) -> tuple[list[int], list[threading.Thread]]:
    found: list[int] = []
    body = {"inputs": [words()]}
    threads = [
        threading.Thread(target=lambda: found.append(wire.infer(body)[0])) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return found, threads


def test_more_requests_than_may_wait_are_told_to_come_back() -> None:
    wire, network = slow_server(Limits(3, MOST, 30.0))
    found, threads = in_threads(wire, 3)
    assert network.begun.acquire(timeout=30)
    while wire.server.pending < 3:
        time.sleep(0.01)
    status, headers, body = wire.infer({"inputs": [words()]})
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["error"] == "3 requests wait or run already: come back."
    network.go_on.set()
    for thread in threads:
        thread.join()
    assert found == [200] * 3
    assert wire.infer({"inputs": [words()]})[0] == 200
    wire.close()


def test_a_turn_that_does_not_come_and_a_body_that_does_not() -> None:
    wire, network = slow_server(Limits(3, MOST, 1.0))
    first, threads = in_threads(wire, 1)
    assert network.begun.acquire(timeout=30)
    status, _, body = wire.infer({"inputs": [words()]})
    assert (status, json.loads(body)["error"]) == (503, "no turn came within 1 s.")
    with socket.create_connection(("127.0.0.1", wire.port)) as half:
        head = f"POST /v2/models/{NET}/infer HTTP/1.1\r\nHost: localhost\r\n"
        half.sendall(f"{head}Content-Length: 99\r\n\r\n{{".encode())
        assert b" 408 " in half.recv(65536).split(b"\r\n")[0]
    network.go_on.set()
    threads[0].join()
    assert first == [200]  # what has begun is answered
    assert wire.server.pending == 0
    wire.close()


def test_no_new_work_while_draining() -> None:
    wire, network = slow_server(Limits(3, MOST, 30.0))
    found, threads = in_threads(wire, 1)
    assert network.begun.acquire(timeout=30)
    wire.server.draining = True
    assert wire.infer({"inputs": [words()]})[0] == 503
    assert wire.ask("GET", "/v2/health/ready")[0] == 503
    assert wire.ask("GET", "/v2/health/live")[0] == 200
    network.go_on.set()
    threads[0].join()
    assert found == [200]
    wire.close()


def test_what_fails_inside_says_nothing_of_the_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire, network = slow_server(Limits(3, MOST, 30.0))
    network.run = lambda request: 1 / 0  # type: ignore[assignment, return-value]
    status, _, body = wire.infer({"inputs": [words()]})
    assert (status, json.loads(body)) == (
        500, {"error": "the server failed inside; its log says more."},
    )  # fmt: skip
    assert "ZeroDivisionError" in caplog.text
    assert wire.server.pending == 0
    wire.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401), ("", 401), (TOKEN, 401), (f"Basic {TOKEN}", 401), ("Bearer 0", 401),
        ("Bearer \xe9", 401), (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN} ", 200),
    ],
)  # fmt: skip
def test_tokens(sent: str | None, status: int) -> None:
    wire, _ = slow_server(Limits(3, MOST, 30.0), TOKEN)
    headers = {} if sent is None else {"Authorization": sent}
    assert wire.ask("GET", "/v2", headers=headers)[0] == status
    assert wire.ask("GET", "/metrics", headers=headers)[0] == status
    assert wire.ask("POST", f"/v2/models/{NET}/infer", b"{", headers)[0] == (
        400 if status == 200 else 401
    )
    assert wire.ask("GET", "/v2/health/live", headers=headers)[0] == 200
    wire.close()


# ------------------------------------------------------------------ the program


@contextlib.contextmanager
def started(cfg: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "knightlite", "serve", str(cfg), "--port", "0"],
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(f"serving {NET} at http://127.0.0.1:"), line
        yield process, int(line.rpartition(":")[2].partition("/")[0])
        process.kill()


def pending(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read()
    connection.close()
    return b"knightlite_pending_requests 1.0" in text


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_program(cfg: Path, sign: signal.Signals) -> None:
    """Asked to end it answers what was begun; killed, the client knows, and the next one serves."""
    body = json.dumps({"inputs": [fed(np.zeros((16, 3, 32, 32)))]})
    with started(cfg) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", f"/v2/models/{NET}/infer", body)
        while not pending(port):
            time.sleep(0.001)
        process.send_signal(sign)
        if sign == signal.SIGKILL:
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                connection.getresponse()
        else:
            assert connection.getresponse().status == 200
            assert process.wait(30) == 0
            assert process.stderr is not None
            said = process.stderr.read()
            assert said == "stopped: every request that was begun has its answer.\n"
        connection.close()
    if sign == signal.SIGKILL:
        with started(cfg) as (_, port):
            assert not pending(port)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no.cfg"], "file no.cfg does not exist."),
        (["--host", "0.0.0.0"], "on 0.0.0.0 other machines reach the server"),
        (["--host", "0.0.0.0", "--token-file", "no.txt"], "token file no.txt does not exist."),
        (
            ["--token-file", "short.txt"],
            "must be a line of at least 16 printable ASCII letters, not",
        ),
        (
            ["--host", "no.such.host.invalid", "--token-file", "long.txt"],
            "cannot listen at no.such.host.invalid, port 8000",
        ),
        (["--port", "65536"], "the port must be from 0 to 65535, not 65536."),
        (["-j", "0"], "workers must be from 1 to 256, not 0."),
        (["--queue", "-1"], "the queue must be from 0 to 4096, not -1."),
        (["--max-frames", "0"], "frames of a request must be from 1 to 4096, not 0."),
        (["--max-body", "0"], "MiB of a request must be from 1 to 1024, not 0."),
        (["--timeout", "0.5"], "seconds of a request must be from 1 to 3600, not 0.5."),
    ],
)
def test_servers_that_cannot_be(
    here: Path, capsys: Capture, words: list[str], sentence: str
) -> None:
    Path("short.txt").write_text(f"{TOKEN[:15]}\n", encoding="utf-8")
    Path("long.txt").write_text(f"{TOKEN[:16]}\n", encoding="utf-8")
    networks = [] if words == ["no.cfg"] else [f"{NET}_r.cfg"]
    assert command(["serve", *networks, *words]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_an_address_that_is_taken(here: Path, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert command(["serve", f"{NET}_r.cfg", "--port", port]) == 2
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in (
        capsys.readouterr().err
    )


def test_packages_that_are_missing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "uvicorn" else name)
    assert command(["serve", f"{NET}_r.cfg"]) == 2
    assert "serve needs uvicorn, which this Python does not have." in capsys.readouterr().err


def test_names_of_networks(tmp_path: Path) -> None:
    found = sources(["a_r.cfg", "dir/b.tsmodel", "c=x/y_r.cfg", "d_r"])
    assert [(item.name, str(item.path)) for item in found] == [
        ("a", "a_r.cfg"), ("b", "dir/b.tsmodel"), ("c", "x/y_r.cfg"), ("d", "d_r"),
    ]  # fmt: skip
    odd = tmp_path / "p=q_r.cfg"
    odd.touch()
    with pytest.raises(UsageError, match=r"^'p=q' cannot be the name of a network in an "):
        sources([str(odd)])
    for text in ("a/b=x.cfg", "=x.cfg", "\xe9_r.cfg", "a b.cfg"):
        with pytest.raises(UsageError, match="cannot be the name of a network"):
            sources([text])
    with pytest.raises(UsageError, match=r"^x/a_r\.cfg and a\.cfg would both be served as a\.$"):
        sources(["x/a_r.cfg", "a.cfg"])


# ------------------------------------------------------------------ any bytes


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_a_tensor_is_the_same_on_the_other_side(data: st.DataObject, binary: bool) -> None:
    dtype: np.dtype[Any] = data.draw(st.sampled_from([*protocol.DTYPES.values()]))
    finite: Any = {"allow_nan": False, "allow_infinity": False}
    elements = arrays.from_dtype(dtype, **finite) if dtype.kind == "f" else None
    values: Array = data.draw(
        arrays.arrays(dtype, arrays.array_shapes(max_dims=4), elements=elements)
    )
    name = protocol.datatype(dtype)
    entry: dict[str, Any] = {"name": "x", "datatype": name, "shape": [*values.shape]}
    if binary:
        entry["parameters"] = {"binary_data_size": values.nbytes}
    else:
        entry["data"] = values.tolist()
    text = json.dumps({"inputs": [entry]}).encode()
    body = text + values.tobytes() if binary else text
    request = read_request(body, str(len(text)) if binary else None)
    found = request.feeds["x"]
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape, found.tobytes()) == (dtype, values.shape, values.tobytes())
    answer, length = write_response("n", "1", Request(None, {}, None, binary), {"x": values})
    again = json.loads(answer[:length])["outputs"][0]
    assert (again["datatype"], again["shape"]) == (name, [*values.shape])
    if binary:
        assert answer[length:] == values.tobytes()
    else:
        assert np.array(again["data"], dtype).tobytes() == values.tobytes()


WHOLE = json.dumps({"inputs": [words()], "outputs": [{"name": "y"}]}).encode() + b"\2\0\0\0ab"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    length = data.draw(st.none() | st.integers(0, 120).map(str) | st.text(max_size=3))
    with contextlib.suppress(KnightliteError):
        read_request(bytes(body), length)


def test_values_that_json_cannot_say() -> None:
    request = Request(None, {}, None, binary=False)
    with pytest.raises(KnightliteError, match="which JSON cannot say"):
        write_response("n", "1", request, {"y": np.array([np.inf], np.float32)})
    body, length = write_response(
        "n", "1", Request(None, {}, None, True), {"y": np.array([np.inf], np.float32)}
    )
    assert body[length:] == np.array([np.inf], "<f4").tobytes()
