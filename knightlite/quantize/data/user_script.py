"""Run a Knight user script (``-uds FILE -if FUNCTION``) unmodified.

A script registers functions through ``onnx_quantize_tool.common.register``; an infer function gets
an executor, feeds batches to its ``forward`` and returns a metric. Each run loads the script afresh
and seeds the random generators, so every run sees the same data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from knightlite.errors import DataError
from knightlite.executor import Executor, Feed, call_infer_function
from knightlite.ir import Tensor
from knightlite.quantize.data.feeding import Feeder, Say, network_inputs, say_nothing
from knightlite.quantize.data.workload import Forward


class Elsewhere(Protocol):
    """Another interpreter that calls infer functions."""

    def call(self, script: Path, function: str, executor: Executor | None) -> float | None:
        """As :func:`knightlite.executor.call_infer_function`, there."""


@dataclass(frozen=True, slots=True)
class UserScript:
    """A Knight user script as a workload.

    ``function`` is the registered infer function (``-if``), ``dataset`` what the script reads
    (``-d``), ``inputs`` and ``outputs`` are the network's; ``say`` gets remarks, one sentence each.
    ``input_configs``: entries of a run-config file, for scripts that read them. ``elsewhere``: the
    interpreter that the script runs in (None: this one). ``declared_inputs``: as ``Executor`` has
    them.
    """

    script: Path
    function: str
    dataset: str | None
    iteration: int
    batch_size: int
    save_dir: Path
    run_mode: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...] = ()
    say: Say = say_nothing
    input_configs: tuple[Mapping[str, Any], ...] = ()
    elsewhere: Elsewhere | None = None
    declared_inputs: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """Script and function."""
        return f"user script {self.script.name}:{self.function}"

    @property
    def forwards(self) -> int:
        """How many forward calls the script is asked for."""
        return self.iteration

    def check(self) -> None:
        """Load the script and look the function up, before any long work is begun."""
        self._call(None)

    def run(self, forward: Forward) -> float | None:
        """Call the infer function with an executor around ``forward``; the metric it returns.

        DataError or UsageError with the script's file and line where it fails; what the script
        prints goes to stderr.
        """
        feeder = Feeder(self.inputs, forward, self.say)
        metric = self._call(self._executor(feeder))
        if feeder.forwards == 0:
            raise DataError(
                f"{self.script.name}: {self.function} never called executor.forward.",
                f"does {self.dataset} hold data?" if self.dataset else "name its data with -d DIR",
            )
        if feeder.forwards < self.iteration:
            self.say(f"the script ended after {feeder.forwards} of {self.iteration} forward calls.")
        return metric

    def _call(self, executor: Executor | None) -> float | None:
        if self.elsewhere is not None:
            return self.elsewhere.call(self.script, self.function, executor)
        return call_infer_function(self.script, self.function, executor)

    def _executor(self, feed: Feed) -> Executor:
        return Executor(
            iteration=self.iteration,
            batch_size=self.batch_size,
            dataset=self.dataset,
            save_dir=str(self.save_dir),
            run_mode=self.run_mode,
            user_defined_script=str(self.script),
            inputs=network_inputs(self.inputs),
            output_node_list=list(self.outputs),
            feed=feed,
            declared_inputs=self.declared_inputs,
            input_configs_dict=[dict(item) for item in self.input_configs],
        )
