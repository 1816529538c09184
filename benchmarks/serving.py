"""``knightlite serve`` under load, by Triton's own client for HTTP: milliseconds and statuses.

    python benchmarks/serving.py --compiled X_r.cfg > expected.json
    knightlite serve X_r.cfg &
    python -m venv V && V/bin/pip install 'tritonclient[http]' numpy
    V/bin/python benchmarks/serving.py http://127.0.0.1:8000 X --expected expected.json
        [--clients 16] [--seconds 60] [--token-file FILE]

``clients`` processes send seeded random frames, every second one in binary and every other in
JSON, as fast as answers come. Every answer must be that of ``Session``, bit by bit, whose hashes
the first command writes (it needs knightlite, the last one only Triton's client). Printed: requests
by status, p50 and p99 of those with status 200, requests a second, answers that are others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

FRAMES = 8
SEED = 0


def frames(shape: list[int]) -> Any:
    """The same for every process: float32 [FRAMES, ...]."""
    rng = np.random.default_rng(SEED)
    return rng.normal(0, 1, (FRAMES, *shape[1:])).astype(np.float32)


def hash_of(outputs: list[Any]) -> str:
    """Of all outputs of one frame."""
    joined = b"".join(np.ascontiguousarray(item, np.float32).tobytes() for item in outputs)
    return hashlib.sha256(joined).hexdigest()


def expected_of(path: Path) -> dict[str, str]:
    """What ``Session`` makes of every frame, as hashes."""
    import knightlite

    session = knightlite.Session(path)
    (fed,) = session.get_inputs()
    values = frames([*fed.shape])
    return {
        str(place): hash_of(session.run(None, {fed.name: values[place : place + 1]}))
        for place in range(FRAMES)
    }


def client_of(address: str, seconds: float) -> Any:
    """A client of Triton's."""
    from tritonclient.http import InferenceServerClient

    parts = urlsplit(address)
    return InferenceServerClient(
        f"{parts.hostname}:{parts.port}", network_timeout=seconds, connection_timeout=seconds
    )


def ask(
    client: Any, model: str, name: str, outputs: list[str], frame: Any, binary: bool, headers: Any
) -> str:
    """The hash of all outputs of one frame."""
    from tritonclient.http import InferInput, InferRequestedOutput

    fed = InferInput(name, [1, *frame.shape], "FP32")
    fed.set_data_from_numpy(frame[None], binary_data=binary)
    wanted = [InferRequestedOutput(output, binary_data=binary) for output in outputs]
    result = client.infer(model, [fed], outputs=wanted, headers=headers)
    return hash_of([result.as_numpy(output) for output in outputs])


def load(number: int, address: str, model: str, seconds: float, headers: Any, results: Any) -> None:
    """One client's answers: (status, milliseconds, frame, hash)."""
    from tritonclient.utils import InferenceServerException

    client = client_of(address, 60)
    metadata = client.get_model_metadata(model, headers=headers)
    name = metadata["inputs"][0]["name"]
    outputs = [item["name"] for item in metadata["outputs"]]
    values = frames(metadata["inputs"][0]["shape"])
    found: list[tuple[str, float, int, str]] = []
    ends, turn = time.monotonic() + seconds, number
    while time.monotonic() < ends:
        place, began = turn % FRAMES, time.monotonic()
        try:
            told = ask(client, model, name, outputs, values[place], turn % 2 == 0, headers)
            status = "200"
        except InferenceServerException as error:
            told, status = "", str(error.status() or error.message())[:60]
            time.sleep(0.05)
        found.append((status, 1e3 * (time.monotonic() - began), place, told))
        turn += 1
    results.put(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("address", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--compiled", type=Path, help="only write what this network makes")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--expected", type=Path, help="what --compiled wrote")
    parser.add_argument("--token-file", type=Path)
    options = parser.parse_args()
    if options.compiled is not None:
        print(json.dumps(expected_of(options.compiled), indent=2))
        return 0
    if options.model is None or options.expected is None:
        parser.error("an address, the name of a network and --expected are needed")
    expected = json.loads(options.expected.read_text(encoding="utf-8"))
    headers = None
    if options.token_file is not None:
        headers = {"Authorization": f"Bearer {options.token_file.read_text().split()[0]}"}
    results: Any = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(
            target=load,
            args=(number, options.address, options.model, options.seconds, headers, results),
        )
        for number in range(options.clients)
    ]
    for client in clients:
        client.start()
    rows = [row for _ in clients for row in results.get()]
    for client in clients:
        client.join()
    times = sorted(ms for status, ms, _, _ in rows if status == "200")
    others = sum(told != expected[str(place)] for status, _, place, told in rows if status == "200")
    print(json.dumps({
        "clients": options.clients,
        "statuses": Counter(status for status, *_ in rows),
        "p50_ms": round(statistics.median(times), 2),
        "p99_ms": round(times[int(0.99 * (len(times) - 1))], 2),
        "requests_per_second": round(len(times) / options.seconds, 1),
        "other_answers": others,
    }, indent=2))  # fmt: skip
    return 1 if others else 0


if __name__ == "__main__":
    raise SystemExit(main())
