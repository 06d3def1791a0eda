"""Reads Convoy's network files (host/nn/network.hpp documents the format) for the Python tools; standard library only.

The result is bound to a number of classes and channels: every layer knows its inputs, extents and padding in pixels.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

NETWORK_INPUT = -1
ZOO = Path(__file__).resolve().parent.parent / "host" / "nn" / "zoo"


@dataclass
class Extent:
    height: int
    width: int
    channels: int

    def elements(self):
        return self.height * self.width * self.channels


@dataclass
class Layer:
    name: str
    type: str
    inputs: list  # indices of layers, or NETWORK_INPUT
    input: Extent  # of the first input
    output: Extent
    kernel: tuple = (1, 1)
    stride: tuple = (1, 1)
    padding: tuple = (0, 0, 0, 0)  # top, bottom, left, right
    bias: bool = True
    train_weights: bool = True
    train_bias: bool = True
    epsilon: float = 1e-5
    momentum: float = 0.1
    rate: float = 0.0
    factor: float = 1.0
    initialise: str = "torch_default"
    options: dict = field(default_factory=dict)  # as written


@dataclass
class Network:
    name: str
    classes: int
    input: Extent
    layers: list


def load(network, classes=10, channels=3):
    """From a zoo name, a file's path, or the JSON text itself."""
    return bind(json.loads(_text_of(network)), classes, channels)


def bound(network, classes, channels):
    """The file's JSON with "classes" and "channels" as numbers, as weights files carry it."""
    document = json.loads(_text_of(network))
    document["input"] = [channels if size == "channels" else size for size in document["input"]]
    for layer in document["layers"]:
        for key in ("filters", "outputs"):
            if layer.get(key) == "classes":
                layer[key] = classes
    return document


def _text_of(network):
    text = str(network)
    if text.lstrip().startswith("{"):
        return text
    path = Path(text) if Path(text).suffix == ".json" else ZOO / f"{text}.json"
    return path.read_text()


def bind(document, classes, channels):
    height, width, depth = document["input"]
    network = Network(document.get("name", ""), classes,
                      Extent(height, width, channels if depth == "channels" else depth), [])
    index_of = {"input": NETWORK_INPUT}
    for index, options in enumerate(document["layers"]):
        sources = options.get("from", [])
        sources = [sources] if isinstance(sources, str) else sources
        inputs = [index_of[source] for source in sources] or [index - 1]
        network.layers.append(_layer(network, options, inputs))
        index_of[options["name"]] = index
    return network


def extent_of(network, index):
    return network.input if index == NETWORK_INPUT else network.layers[index].output


def _layer(network, options, inputs):
    kind = options["type"]
    extent = extent_of(network, inputs[0])
    layer = Layer(options["name"], kind, inputs, extent, extent, options=options)
    frozen = options.get("frozen", False)
    layer.train_weights = frozen not in (True, "weights")
    layer.train_bias = frozen not in (True, "bias")
    layer.bias = options.get("bias", True)
    layer.initialise = options.get("initialise", layer.initialise)
    layer.epsilon = options.get("epsilon", layer.epsilon)
    layer.momentum = options.get("momentum", layer.momentum)
    layer.rate = options.get("rate", layer.rate)
    layer.factor = options.get("factor", layer.factor)
    if kind == "batch_normalisation":
        layer.train_weights = options.get("scale", True)
        layer.train_bias = options.get("shift", True)
    if kind in ("convolution", "max_pool", "average_pool"):
        layer.kernel = _pair(options["kernel"])
        layer.stride = _pair(options.get("stride", 1 if kind == "convolution" else options["kernel"]))
        sides = padding_sides(options.get("padding", "valid"), extent, layer.kernel, layer.stride)
        layer.padding = sides
        layer.output = Extent((extent.height + sides[0] + sides[1] - layer.kernel[0]) // layer.stride[0] + 1,
                              (extent.width + sides[2] + sides[3] - layer.kernel[1]) // layer.stride[1] + 1,
                              _count(network, options["filters"]) if kind == "convolution" else extent.channels)
    elif kind == "dense":
        layer.output = Extent(1, 1, _count(network, options["outputs"]))
    elif kind in ("global_average_pool", "global_max_pool"):
        layer.output = Extent(1, 1, extent.channels)
    elif kind not in ("batch_normalisation", "dropout", "relu", "gelu", "silu", "add", "flatten", "scale"):
        raise ValueError(f"{network.name}: layer '{layer.name}': unknown type '{kind}'")
    return layer


def _count(network, number):
    return network.classes if number == "classes" else number


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def padding_sides(rule, extent, kernel, stride):
    if rule == "valid":
        return (0, 0, 0, 0)
    if rule == "same":  # an odd pixel goes to the bottom and right, as in TensorFlow
        sides = []
        for size, window, step in zip((extent.height, extent.width), kernel, stride):
            total = max(0, (-(-size // step) - 1) * step + window - size)
            sides += [total // 2, total - total // 2]
        return tuple(sides)
    if isinstance(rule, int):
        return (rule,) * 4
    if len(rule) == 2:
        return (rule[0], rule[0], rule[1], rule[1])
    return tuple(rule)
