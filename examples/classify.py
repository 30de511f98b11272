"""Classify a photograph: mean, scale, a number of loops, and the five best classes, as embedded frameworks show it.

python examples/classify.py photo.jpg                                          # a digit, by networks/digits.yaml
python examples/classify.py cat.jpg --model networks/mobilenet_v2.yaml --weights mobilenet_v2.safetensors \
    --mean 123.675,116.28,103.53 --scale 0.01712,0.01751,0.01743 --resize crop --labels imagenet.txt --loops 100

Pixels, 0 to 255, become (pixel - mean) * scale, as in Tengine and Caffe. With `--cpu` no GPU is needed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import trtdsl
from trtdsl.errors import TrtdslError
from trtdsl.running import Pictures, engine_inputs, make_inputs

DIGITS = Path(__file__).parents[1] / "networks" / "digits.yaml"


def numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def factors(text: str) -> tuple[float, ...]:
    if 0 in (found := numbers(text)):
        raise ValueError(text)
    return found


def count(text: str) -> int:
    if (found := int(text)) < 1:
        raise ValueError(text)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify a photograph.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--model", type=Path, default=DIGITS, help="a network, or an engine; default: digits")
    parser.add_argument("--weights", type=Path, help="weights instead of those that the network names")
    parser.add_argument("--random-weights", action="store_true", help="made-up weights, to see what it costs")
    # What suits the default network: dark ink on white paper, from 0 (paper) to 1 (ink).
    parser.add_argument("--mean", type=numbers, default=(255.0,), help="one number, or one for each channel")
    parser.add_argument("--scale", type=factors, default=(-1 / 255,), help="one number, or one for each channel")
    parser.add_argument("--resize", choices=["stretch", "crop", "pad"], default="stretch")
    parser.add_argument("--order", choices=["rgb", "bgr"], default="rgb")
    parser.add_argument("--loops", type=count, default=10, help="runs to time (default: 10)")
    parser.add_argument("--top", type=count, default=5, help="classes to show (default: 5)")
    parser.add_argument("--labels", type=Path, help="a file with the name of a class in each line")
    parser.add_argument("--cpu", action="store_true", help="run in fp32 on a CPU, by ONNX Runtime")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    try:
        names = given.labels.read_text(encoding="utf-8").splitlines() if given.labels else []
        with Image.open(given.image) as image:
            print(f"{given.image}: {image.width} x {image.height} pixels")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"error: {error}") from None
    # `Pictures` takes the mean off what is scaled already: (pixel - mean) * scale = (pixel - mean) / (1 / scale).
    pictures = Pictures(1.0, given.mean, tuple(1 / scale for scale in given.scale), None, given.resize, given.order)
    try:
        with runner(given, pictures) as (what, run):
            scores, times = loop(run, given.loops)
    except TrtdslError as error:
        raise SystemExit("\n".join(diagnostic.render() for diagnostic in error.diagnostics)) from None
    average, least, most = 1e3 * sum(times) / len(times), 1e3 * min(times), 1e3 * max(times)
    print(f"{len(times)} loops of {what}: {average:.3f} ms on average, {least:.3f} to {most:.3f} ms")
    shares = softmax(scores.reshape(-1).astype(np.float64))
    for place, index in enumerate(np.argsort(-shares, kind="stable")[: given.top], 1):
        name = names[index] if index < len(names) else f"class {index}"
        print(f"{place:3}. {100 * shares[index]:6.2f} %  {name}")


@contextmanager
def runner(given: argparse.Namespace, pictures: Pictures) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What runs, and a function that runs it once on the image and gives the scores of the classes."""
    if given.model.suffix == ".engine":
        with trtdsl.Engine(given.model) as engine, engine.context() as context:
            [name] = engine.inputs
            inputs = engine_inputs(given.model, engine.manifest, {name: given.image}, pictures=pictures)
            yield "the engine, with its copies", lambda: first(context.run(inputs))
        return
    network = trtdsl.load(given.model, weights=given.weights, random_weights=given.random_weights)
    inputs = make_inputs(network.graph, {network.graph.inputs[0].name: given.image}, pictures=pictures)
    if given.cpu:
        from trtdsl.running.reference import load_in_fp32

        on_cpu = load_in_fp32(network.graph)
        yield "ONNX Runtime in fp32", lambda: first(on_cpu(inputs))
        return
    with network.engine() as engine, engine.context() as context:
        yield "the engine, with its copies", lambda: first(context.run(inputs))


def first(outputs: dict[str, Any]) -> Any:
    return next(iter(outputs.values()))


def loop(run: Callable[[], Any], loops: int) -> tuple[Any, list[float]]:
    """The scores of the last run, and the seconds of each; one before them does not count."""
    scores = run()
    times = []
    for _ in range(loops):
        started = time.perf_counter()
        scores = run()
        times.append(time.perf_counter() - started)
    return scores, times


def softmax(scores: Any) -> Any:
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


if __name__ == "__main__":
    main()
