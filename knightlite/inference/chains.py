"""Sessions one after another, used like one: what one makes, those behind it read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite.inference.sessions import Session

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Link = tuple[tuple[str, ...], tuple[str, ...], Session]
"""What a session reads, what its outputs are, both by tensor, and the session."""


class Chain:
    """``outputs``: the tensors that are delivered, in order."""

    def __init__(self, links: Sequence[Link], outputs: tuple[str, ...]) -> None:
        """``links`` in order."""
        self._links = links
        self.outputs = outputs

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs ``names``, None for all of them in order, of inputs by name."""
        wanted = self.outputs if names is None else names
        values = dict(feeds)
        for place, (inputs, made, session) in enumerate(self._links):
            found = session.run(None, {name: values[name] for name in inputs})
            values.update(zip(made, found, strict=True))
            needed = {name for later, *_ in self._links[place + 1 :] for name in later}
            values = {name: item for name, item in values.items() if name in needed.union(wanted)}
        return [values[name] for name in wanted]

    def binding(self) -> Binding:
        """Places for inputs and outputs of :meth:`run_bound`."""
        return Binding(self._links, self.outputs)

    def run_bound(self, binding: Binding) -> None:
        """Run from and into the places of ``binding``."""
        binding.run()


class Binding:
    """What an ONNX Runtime binding offers, of a chain; tensors between sessions are its own."""

    def __init__(self, links: Sequence[Link], outputs: tuple[str, ...]) -> None:
        """As for :class:`Chain`."""
        self._links, self._outputs = links, outputs
        self._bindings = [session.binding() for *_, session in links]
        self._places = {name: place for place, (_, made, _) in enumerate(links) for name in made}
        self._given: dict[str, Array] = {}
        self._bound: dict[str, tuple[Any, ...]] = {}
        self._values: dict[str, onnxruntime.OrtValue] = {}

    def bind_cpu_input(self, name: str, values: Array) -> None:
        """An input's values, until they are cleared."""
        self._given[name] = values

    def clear_binding_inputs(self) -> None:
        """Forget the inputs."""
        self._given.clear()

    def bind_output(self, name: str, *place: Any) -> None:
        """Where an output's values go, as ONNX Runtime's ``bind_output`` has it."""
        self._bound[name] = place

    def get_outputs(self) -> list[onnxruntime.OrtValue]:
        """The outputs of the last run, in order."""
        return [self._values[name] for name in self._outputs]

    def run(self) -> None:
        """Every session in turn."""
        self._values.clear()
        for binding, (inputs, made, session) in zip(self._bindings, self._links, strict=True):
            for name in inputs:
                if name in self._given:
                    binding.bind_cpu_input(name, self._given[name])
                else:
                    binding.bind_ortvalue_input(name, self._values[name])
            for name, output in zip(made, session.outputs, strict=True):
                binding.bind_output(output, *self._bound.get(name, ("cpu",)))
            session.run_bound(binding)
            self._values.update(zip(made, binding.get_outputs(), strict=True))
            binding.clear_binding_inputs()
