"""What an operator is to the rest of the program: one frozen :class:`OpDef` per operator.

An operator's meaning lives here and knows no chip: attributes, shape inference, float ONNX form,
integer reference, golden (integer, standard ONNX) form, the input region an output region needs,
constraints, and sample cases that ONE test body runs through the whole chain on every chip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.dtypes import DType
from knightlite.ir import Graph, GraphBuilder, Node, Tensor
from knightlite.ops.expressions import Step
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter

Array = NDArray[Any]
Indices = NDArray[np.int64]
Region = tuple[int, int]  # rows [first, last) of an NCHW tensor
TypeScale = tuple[DType, float]
Asked = ParamSpec("Asked")


@dataclass(frozen=True, slots=True)
class View:
    """A node with its graph: attributes, tensors and constants that an OpDef's functions read."""

    graph: Graph
    node: Node

    def tensor(self, index: int) -> Tensor:
        """Description of input ``index``."""
        return self.graph.tensors[self.node.inputs[index]]

    @property
    def output(self) -> Tensor:
        """Description of the output."""
        return self.graph.tensors[self.node.output]

    def constant(self, index: int) -> Array:
        """The constant array of input ``index``; KeyError where the input is not constant."""
        return self.graph.constants[self.node.inputs[index]]

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a tuple of integers."""
        value = self.node.attributes[name]
        assert isinstance(value, tuple)
        return tuple(map(int, value))

    def integer(self, name: str) -> int:
        """An integer attribute."""
        value = self.node.attributes[name]
        assert isinstance(value, int)
        return value

    def scale(self, index: int) -> NDArray[np.float64]:
        """Scale of input ``index`` as float64, shape () or (C,)."""
        return _scale(self.tensor(index))

    @property
    def output_scale(self) -> NDArray[np.float64]:
        """Scale of the output as float64, shape () or (C,)."""
        return _scale(self.output)

    @property
    def gain(self) -> float:
        """A factor of the result in front of the clamp, part of the requantization; mostly 1."""
        value = self.node.attributes.get("gain", 1.0)
        assert isinstance(value, float)
        return value

    @property
    def clamp(self) -> tuple[float, float]:
        """The merged activation as real bounds; infinite where open."""
        value = self.node.attributes.get("clamp", OPEN)
        assert isinstance(value, tuple)
        low, high = value
        return float(low), float(high)

    @property
    def bounds(self) -> tuple[int, int]:
        """The merged activation as integer bounds on the output."""
        low, high = self.clamp
        scales = self.output_scale
        ends = (float(scales.min()), float(scales.max()))  # a bound grows or falls with the scale
        bounds = {numerics.clamp_bounds(low, high, s, self.output.dtype) for s in ends}
        if len(bounds) != 1:
            raise ValueError(f"clamp {self.clamp} must be one bound for all channels")
        return bounds.pop()


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a tensor: first channel, row and column, and the steps of rows and columns.

    ``turned``: the part's columns run along the tensor's rows, and its rows along the columns.
    """

    channel: int = 0
    row: int = 0
    column: int = 0
    row_step: int = 1
    column_step: int = 1
    turned: bool = False

    def within(self, outer: Window) -> Window:
        """The same part, seen from the tensor of which ``outer`` is a part."""
        rows, columns = (self.row, self.row_step), (self.column, self.column_step)
        if outer.turned:
            rows, columns = columns, rows
        return Window(
            outer.channel + self.channel,
            outer.row + rows[0] * outer.row_step,
            outer.column + columns[0] * outer.column_step,
            outer.row_step * rows[1],
            outer.column_step * columns[1],
            outer.turned != self.turned,
        )


def _scale(tensor: Tensor) -> NDArray[np.float64]:
    assert tensor.scale is not None, f"tensor {tensor.name} is not quantized"
    return tensor.scale.astype(np.float64)


OPEN = (-float("inf"), float("inf"))


@dataclass(frozen=True, slots=True)
class Constraint:
    """One rule on the model: ``rule`` is the sentence for the support page.

    ``check`` returns why a node breaks the rule, or None; ``breaks`` builds a quantized graph
    whose only node breaks it (a test holds every constraint to that). ``structural``: the check
    reads no scale, so it also applies to a float graph.
    """

    rule: str
    check: Callable[[View], str | None]
    breaks: Callable[[], Graph]
    structural: bool = False


def reasons(
    checks: Iterable[Callable[Asked, str | None]], *asked: Asked.args, **named: Asked.kwargs
) -> Iterator[str]:
    """What the checks object to, in their order, each only as it is asked for."""
    return filter(None, (check(*asked, **named) for check in checks))


def clamped_at_zero(view: View, inputs: tuple[bool, ...]) -> bool:
    """Non-negative by the merged activation alone."""
    return view.clamp[0] >= 0


def as_inputs(view: View, inputs: tuple[bool, ...]) -> bool:
    """Non-negative by the merged activation, or because no input is negative."""
    return view.clamp[0] >= 0 or all(inputs)


def any_step(view: View) -> float:
    """No scale of a 16-bit output is too fine."""
    return 0.0


def never(view: View) -> bool:
    """What holds for none of an operator's nodes."""
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """Channels of an operand, and as many of the output that are divided if these are."""

    operand: int
    channels: Indices
    outputs: Indices


def untied(view: View) -> None:
    """Nothing follows: what is divided in an operand cannot be multiplied again in the output."""


def own_channels(view: View) -> tuple[Tie, ...]:
    """For operators on single planes with f(s x) = s f(x), s > 0: each channel follows its own."""
    channels = np.arange(view.output.shape[1])
    return (Tie(0, channels, channels),)


def first_axis(group: int) -> int:
    """Output channels come first."""
    return 0


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is known of an operator that multiplies by weights: the matrix engine runs it.

    Its inputs are features, weights [Co, Ci/group, kh, kw] and, where there is one, a bias [Co];
    it has an attribute ``group``. ``tap_coverage``: the share of the output positions at which a
    tap [kh, kw] reads a pixel of the picture. ``onnx_axis``: the axis of the output channels in
    an ONNX file, for a number of groups; it is swapped with axis 0. ``all_taps``: every output
    adds up all its taps, so that a number added to the input adds it times their sum everywhere.
    """

    tap_coverage: Callable[[View], NDArray[np.float64]]
    onnx_axis: Callable[[int], int] = first_axis
    all_taps: Callable[[View], bool] = never


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is known of an operator that looks its values up: any function of one value.

    ``support``: the interval of inputs outside which the output is constant. ``bends``: inputs at
    which its slope jumps. ``interval``: inputs from one entry of the table of a 16-bit tensor to
    the next. ``steps``: the function as an expression; ``computing``: the node with another one.
    """

    support: Callable[[View], tuple[float, float]]
    bends: Callable[[View], tuple[float, ...]]
    interval: Callable[[View], int]
    steps: Callable[[Node], Sequence[Step]]
    computing: Callable[[Node, Sequence[Step]], Node]


@dataclass(frozen=True, slots=True)
class OpDef:
    """The meaning of one operator. All features are NCHW, N = 1.

    Fields: ``onnx_types`` the ONNX operators that ``from_onnx`` turns into this one (it appends
    nodes to the builder and returns the output's tensor name; it raises UnsupportedError with a
    sentence); ``infer`` output shape; ``to_onnx`` writes the float form (QDQ and calibration);
    ``reference`` integers in, integers out (int64, plain numpy, written for clarity); ``to_golden``
    writes the integer form with standard ONNX operators only; ``region`` the input rows that
    output rows need, per feature input; ``macs`` multiply-accumulates (0 where it has none);
    ``value_preserving`` output values are input values, so all its tensors share one scale;
    ``nonnegative`` whether the output cannot be negative, told which inputs cannot;
    ``kernel`` what is known of its weights, None where it multiplies by none; ``lookup`` of its
    function, None where it looks nothing up.

    Traits are promises that the quantizer relies on, a merged activation aside; what is not said
    is not used. ``ties``: which channels of its output are divided with those of its operands, so
    that x / s gives y / s; ``absorbs_factors``: factors per channel of its input and its output go
    into its constants; ``carries_offsets``: a number added to all its features is added to its
    output (None: as it is value preserving); ``linear``: it is affine in its features;
    ``requantizes``: its output is its input at another scale; ``aliases``: the names by which a
    user may mean a node, where they are not its own and ONNX's.

    An operator that is placed instead of executed has ``joins`` (each input is this part of the
    output: Concat) or ``cuts`` (the output is this part of the input: Slice).
    """

    name: str
    onnx_types: tuple[str, ...]
    from_onnx: Callable[[OnnxNode, GraphBuilder], None] | None
    infer: Callable[[View], tuple[int, ...]]
    to_onnx: Callable[[View, OnnxWriter, tuple[str, ...], str], None]
    reference: Callable[[View, tuple[Array, ...]], Array]
    to_golden: Callable[[View, OnnxWriter, tuple[str, ...], str], None]
    region: Callable[[View, int, Region], Region]
    macs: Callable[[View], int]
    constraints: tuple[Constraint, ...]
    samples: Callable[[], tuple[Graph, ...]]
    also_from: tuple[str, ...] = ()  # ONNX types that become it elsewhere: in another operator
    value_preserving: bool = False
    rearranges: bool = False  # every output value is an input's, at another place
    joins: Callable[[View], tuple[Window, ...]] | None = None
    cuts: Callable[[View], Window] | None = None
    nonnegative: Callable[[View, tuple[bool, ...]], bool] = clamped_at_zero
    kernel: Kernel | None = None
    lookup: Lookup | None = None
    ties: Callable[[View], tuple[Tie, ...] | None] = untied
    absorbs_factors: bool = False
    carries_offsets: Callable[[View], bool] | None = None
    linear: bool = False
    requantizes: Callable[[View], bool] = never
    aliases: Callable[[Node], tuple[str, ...]] | None = None
    clampable: bool = False  # a following Relu/Clip may be merged into its ``clamp`` attribute
    scalable: bool = False  # a following scalar factor may be merged into its ``gain`` attribute
    broadcasts: bool = False  # operands broadcast as in numpy; a constant one comes as [1, C, 1, 1]
    shapes_constants: bool = False  # ``to_onnx`` writes the constants itself, shaped to broadcast
    wide_output: bool = True  # a network output may be requantized to 16 bits here
    finest_step: Callable[[View], float] = any_step  # the finest sound scale of such an output
    fixed_output: tuple[TypeScale, TypeScale] | None = None  # by definition: at 8 bits, at 16
    per_channel_output: bool = False  # its output may carry one scale per channel
    per_channel_input: bool = False  # its feature input may carry one scale per channel
    hosted: bool = False  # the host computes it, between two segments of the chip
    picks: bool = False  # its output is a place, the one of the largest or smallest value
    reads_axes: bool = False  # it names axes: features must come as [N, C, H, W] or [N, C]

    def names_of(self, node: Node) -> tuple[str, ...]:
        """Operator types by which a user may mean the node, the one that is shown first."""
        return (self.name, *self.onnx_types) if self.aliases is None else self.aliases(node)

    def adds_through(self, view: View) -> bool:
        """True where f(x + c) = f(x) + c for a number c."""
        if self.carries_offsets is None:
            return self.value_preserving
        return self.carries_offsets(view)

    @property
    def placed(self) -> bool:
        """True where it costs no instruction: its tensors only lie inside one another."""
        return self.joins is not None or self.cuts is not None

    @property
    def executes(self) -> bool:
        """True where the chip computes it: neither placed nor the host's."""
        return not (self.placed or self.hosted)

    def broken(self, view: View, structural: bool = False) -> Iterator[str]:
        """Why a node breaks the constraints; ``structural``: only those that read no scale."""
        rules = (rule for rule in self.constraints if rule.structural or not structural)
        return reasons((rule.check for rule in rules), view)


def no_macs(view: View) -> int:
    """For operators without multiply-accumulates."""
    return 0


def same_rows(view: View, index: int, rows: Region) -> Region:
    """For pointwise operators: the same rows; a broadcast input is read whole."""
    height = view.tensor(index).shape[2]
    return (0, 1) if height == 1 else rows


def same_shape(view: View) -> tuple[int, ...]:
    """For pointwise operators of one input."""
    return view.tensor(0).shape
