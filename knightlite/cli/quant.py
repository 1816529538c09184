"""``knightlite quant [onnx]``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from knightlite.api.chips import default_chip
from knightlite.api.quantization import QuantizeOptions, numbers, quantize
from knightlite.cli.arguments import Shape, whole_numbers, words
from knightlite.cli.compare import HISTOGRAM, print_comparison
from knightlite.cli.conversion import conversion_options
from knightlite.cli.data_options import data_option
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.mix_output import print_mix
from knightlite.cli.terminal import print_files, print_json, print_line, talking

EPILOG = """\b
Examples:
  knightlite quant onnx -m model.pdmodel -d pictures --recipe imagenet -i 100
  knightlite quant onnx -m model.onnx -uds s.py -if FUNCTION -d DIR -i 200
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet \\
    -qm kl mse -i 10 100                   # four runs, a table by loss
  knightlite quant onnx -m model.pdmodel        # no data: from its BatchNorms
  knightlite quant onnx -f pytorch -m resnet50 -w resnet50.pth -uds s.py \\
    -if FUNCTION -d DIR -i 200             # s.py builds resnet50
  knightlite quant onnx -m model.json --paddle-python ~/paddle3/bin/python
  knightlite quant onnx -m model.pdparams -uds s.py -d pictures \\
    --recipe imagenet
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet -i 100 -gt
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet -i 100 \\
    -mc model.json                          # after editing it
  knightlite --chip TX5368AV200 quant onnx -m model.onnx -d pictures \\
    --recipe imagenet -i 100 --mix-budget 5    # 16 bits for 5 % more cycles
  knightlite quant onnx -m model.onnx -d DIR --recipe imagenet -qid uint8
  knightlite quant onnx -m model.onnx -uds s.py -if FUNCTION -d DIR \\
    -qid uint8 --mean 123.675 116.28 103.53 --std 58.395 57.12 57.375
  knightlite quant onnx -m model.onnx -d DIR --recipe imagenet -on conv5 fc
  Knight --chip TX5368AV200 quant onnx -m X.pdmodel -w X.pdiparams -f paddle \\
    -uds s.py -if FN -s out -d DIR -bs 1 -i 200

The default method is mse (at high effort auto), not Knight's kl, which is weak on
distributions that lie away from zero (docs/quantization.md).
"""


@click.command(cls=KnightCommand, word="quant", epilog=EPILOG)
@click.argument("target", type=click.Choice(["onnx"]), default="onnx", required=False)
@data_option("model", required=True)
@data_option("weight")
@data_option("framework")
@data_option("script", help="Knight user script; runs unmodified. It may also build the network.")
@data_option(
    "function",
    default="infer_auto",
    show_default=True,
    help="Registered function of the script; infer_auto feeds what is made up without data.",
)
@click.option(
    "-s",
    "--save-dir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where the files go [default: here].",
)
@data_option("data", help="Picture folder (with --recipe), or the script's data.")
@data_option("recipe", help="How pictures become inputs: a name of calibration/ or a TOML file.")
@data_option("batch_size")
@data_option(
    "iteration",
    metavar="N...",
    multiple=True,
    default=("1",),
    callback=lambda context, option, value: whole_numbers(value),
    help="Number of forward calls; several are tried one by one [default: 1].",
)
@click.option(
    "-qm",
    "--quant-mode",
    "methods",
    metavar="METHOD...",
    multiple=True,
    callback=lambda context, option, value: words(value),
    help="Range method: mse, min_max, kl, kl_v2, percentile, octav; auto is mse, and for single "
    "tensors another one where their readers then err less; several, or all of them but auto with "
    "all, are tried one by one [default: mse; auto at high effort].",
)
@click.option(
    "-per",
    "--percent",
    type=float,
    default=0.99999,
    show_default=True,
    help="percentile: the share of magnitudes inside the range.",
)
@click.option(
    "--equalization",
    type=click.Choice(["off", "on"]),
    default="on",
    show_default=True,
    help="Bring channels that share a scale to like ranges where that gains.",
)
@click.option(
    "--effort",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    show_default=True,
    help="What to try for accuracy: low, ranges only; high may take minutes, and up to 10 % of "
    "cycles for 16 bits where 8 keep less than 30 dB.",
)
@click.option(
    "--bias-correction",
    type=click.Choice(["off", "fast", "sequential"]),
    help="Against mean errors [default: as the effort has it].",
)
@click.option(
    "--rounding",
    type=click.Choice(["nearest", "adaptive"]),
    help="Of weights: adaptive fits them to the layer's inputs [default: as the effort has it].",
)
@click.option(
    "-b",
    "--bit-width",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits of tensors and weights.",
)
@click.option(
    "-gt",
    "--generate-template",
    is_flag=True,
    help="Also write {model}.json, which -mc reads.",
)
@click.option(
    "-mc",
    "--mix-config",
    type=click.Path(path_type=Path),
    help="JSON that gives operators 16 bits.",
)
@data_option("input_shapes")
@click.option(
    "-r",
    "--run-mode",
    type=click.Choice(["quant", "auto_quant", "infer", "convert", "compare"]),
    default="quant",
    show_default=True,
    help="quant; auto_quant: some operators at 16 bits, found by measuring; "
    "infer: run the model only; convert: write the float ONNX only; compare: every layer "
    "of the float model beside the quantized one that is there.",
)
@click.option(
    "-amr",
    "--auto-mix-ratio",
    "mix_ratio",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="auto_quant: share of the convolutions that may have 16 bits.",
)
@click.option(
    "-ams",
    "--auto-mix-strategy",
    "mix_strategy",
    type=click.Choice(["HAWQ", "IOhigh", "initial"]),
    default="HAWQ",
    show_default=True,
    help="auto_quant: the most sensitive first, both ends first, from the input on.",
)
@click.option(
    "--mix-budget",
    metavar="P",
    help="Give 16 bits where they help most, for at most P percent of extra predicted cycles: 5, "
    "2.5%, or 20000cycles. Not with auto_quant.",
)
@click.option(
    "-gp",
    "--general-process",
    is_flag=True,
    help="Run unsupported operators at the end of the network on the host.",
)
@click.option(
    "-qid",
    "--quantize-input-dtype",
    "input_types",
    metavar="TYPE",
    multiple=True,
    help="Per input uint8, int8 or int16: it is fed with integers; float32 or None: real numbers.",
)
@click.option(
    "--mean",
    metavar="NUMBERS",
    multiple=True,
    help="The network subtracts this from its first input: one number, or one per channel.",
)
@click.option(
    "--std", metavar="NUMBERS", multiple=True, help="The network divides its first input by this."
)
@click.option(
    "-on",
    "--output-name",
    "output_names",
    metavar="NAME",
    multiple=True,
    help="Cut the network at these tensors: -on A B.",
)
@click.option(
    "-gsj",
    "--generate-scale-json",
    "generate_scales",
    is_flag=True,
    help="Also write types and scales of all tensors to X_scales.json.",
)
@click.option(
    "-lsj",
    "--load-scale-json",
    "load_scales",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take types and scales from such a file; tensors it leaves out are calibrated.",
)
@click.option(
    "-ll",
    "--lut-len",
    default=10,
    show_default=True,
    help="Tables of 16-bit tensors have 2^N intervals, N from 8 to 12.",
)
@click.option(
    "--input-configs",
    metavar="JSON",
    default="",
    help="Type, mean, std and data of each input: a list, as in run-config files.",
)
@click.option(
    "-ib",
    "--ir-batch",
    default=1,
    show_default=True,
    help="Frames that sim runs of its input, one after the other; the model takes any batch.",
)
@click.option(
    "-cd",
    "--cache-distribution",
    "cache",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Keep what the first pass over the data learns, and read it where FILE is there.",
)
@click.option(
    "-du",
    "--dump",
    is_flag=True,
    help="Also write the values of every layer, float and fixed, to dump/.",
)
@conversion_options
@data_option("seed")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None,
    target: str,
    model: Path,
    weight: Path | None,
    framework: str | None,
    script: Path | None,
    function: str,
    save_dir: Path,
    data: str | None,
    recipe: str | None,
    batch_size: int,
    iteration: tuple[int, ...],
    methods: tuple[str, ...],
    percent: float,
    equalization: str,
    effort: str,
    bias_correction: str | None,
    rounding: str | None,
    bit_width: str,
    generate_template: bool,
    mix_config: Path | None,
    input_shapes: tuple[Shape, ...],
    run_mode: str,
    mix_ratio: float,
    mix_strategy: str,
    mix_budget: str | None,
    general_process: bool,
    paddle_python: str | None,
    torch_python: str | None,
    torch_exporter: str,
    input_types: tuple[str, ...],
    mean: tuple[str, ...],
    std: tuple[str, ...],
    output_names: tuple[str, ...],
    generate_scales: bool,
    load_scales: Path | None,
    lut_len: int,
    cache: Path | None,
    dump: bool,
    input_configs: str,
    ir_batch: int,
    seed: int,
    as_json: bool,
) -> None:
    """Quantize a model to int8."""
    options = QuantizeOptions(
        model=model,
        chip=chip or default_chip(),
        weight=weight,
        framework=framework,
        script=script,
        function=function,
        data=data,
        recipe=recipe,
        save_dir=save_dir,
        batch_size=batch_size,
        iterations=iteration,
        methods=methods,
        percent=percent,
        equalize=equalization == "on",
        effort=effort,
        bias_correction=bias_correction,
        rounding=rounding,
        bit_width=int(bit_width),
        generate_template=generate_template,
        mix_config=mix_config,
        input_shapes=input_shapes,
        run_mode=run_mode,
        mix_ratio=mix_ratio,
        mix_strategy=mix_strategy,
        mix_budget=mix_budget,
        paddle_python=paddle_python,
        torch_python=torch_python,
        torch_exporter=torch_exporter,
        seed=seed,
        general_process=general_process,
        input_types=input_types,
        mean=numbers(mean),
        std=numbers(std),
        output_names=output_names,
        generate_scales=generate_scales,
        load_scales=load_scales,
        lut_len=lut_len,
        cache=cache,
        dump=dump,
        input_configs=input_configs,
        ir_batch=ir_batch,
    )
    with talking() as talk:
        result = quantize(options, talk)
        if result.combinations:
            first = result.combinations[0]
            talk.say(
                f"the best of {len(result.combinations)} is {first['method']} with "
                f"{first['iteration']} iteration(s); its files are also where compile finds them"
            )
        if "onnx" in result.files:
            talk.say(f"Quantized Model : {result.files['onnx']}")
        if result.loss_percent is not None:
            talk.say(f"Quantization Loss: {result.loss_percent:.4f}")
        talk.say("Quant complete")
    if as_json:
        print_json(
            {
                "files": {key: str(path) for key, path in result.files.items()},
                "float_metric": result.float_metric,
                "quantized_metric": result.quantized_metric,
                "quantization_loss": result.loss_percent,
                "pictures": result.pictures,
                "outputs": result.report.get("outputs", []),
                **({"layers": [asdict(row) for row in result.layers]} if result.layers else {}),
                "combinations": list(result.combinations),
                "cycles": result.report.get("cycles"),
                "mix_points": result.report.get("mix_points", []),
            }
        )
        return
    if result.combinations:
        print_line(f"{'method':12} {'i':>5} {'loss %':>10} {'SQNR dB':>8}  folder")
    for row in result.combinations:
        loss, decibels = row["quantization_loss"], row["sqnr_db"]
        print_line(
            f"{row['method']:12} {row['iteration']:5} {'-' if loss is None else f'{loss:.4f}':>10} "
            f"{'-' if decibels is None else f'{decibels:.2f}':>8}  {row['folder']}"
        )
    for label, value in (("float", result.float_metric), ("quantized", result.quantized_metric)):
        if value is not None:
            print_line(f"metric, {label} model: {value:.4f}")
    print_mix(result.report)
    compared = result.report.get("compared")
    for output in result.report.get("outputs", []):
        kept = "exact" if output["sqnr_db"] is None else f"SQNR {output['sqnr_db']} dB"
        over = f" over {compared} picture{'' if compared == 1 else 's'}" if compared else ""
        print_line(f"output {output['name']}: {output['type']}, {kept}{over}")
    if result.layers:
        print_comparison(result.layers, ["compared", "max diff", "bias", HISTOGRAM])
    if result.files:
        print_files(result.files)
