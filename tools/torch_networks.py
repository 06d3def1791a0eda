"""Builds a network file in PyTorch. The module's state_dict has the names and orders of Convoy's weights files.

Needs torch. Weights start as PyTorch starts them; load_state_dict brings others.
"""

import torch
from torch import nn
from torch.nn import functional

import network_file


def build(network):
    """An nn.Module [N,C,H,W] -> logits [N,classes], from a network_file.Network (or a name, path or JSON text)."""
    return FileNetwork(network if isinstance(network, network_file.Network) else network_file.load(network))


class FileNetwork(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.modules_of_layers = []  # a plain list: the registered tree carries the names
        for layer in network.layers:
            module = _module(layer)
            self.modules_of_layers.append(module)
            if isinstance(module, nn.Module):
                _register(self, layer.name, module)

    def forward(self, images):
        outputs = []
        last_reader = {}
        for index, layer in enumerate(self.network.layers):
            for source in layer.inputs:
                last_reader[source] = index
        for index, (layer, module) in enumerate(zip(self.network.layers, self.modules_of_layers)):
            inputs = [images if source == network_file.NETWORK_INPUT else outputs[source] for source in layer.inputs]
            outputs.append(module(*inputs))
            del inputs
            for source in layer.inputs:
                if source >= 0 and last_reader[source] == index:
                    outputs[source] = None  # evaluation holds no more than it needs
        return outputs[-1]


class _PaddedConvolution(nn.Conv2d):
    """Zero padding that differs between sides; the parameters' names stay those of Conv2d."""

    def __init__(self, sides, *args, **options):
        super().__init__(*args, **options)
        self.sides = sides  # left, right, top, bottom

    def forward(self, images):
        return super().forward(functional.pad(images, self.sides))


class _Dense(nn.Linear):
    def forward(self, values):
        return super().forward(values.flatten(1))


def _register(parent, path, module):
    *folders, leaf = path.split(".")
    for folder in folders:
        if folder not in parent._modules:
            parent.add_module(folder, nn.Module())
        parent = parent._modules[folder]
    parent.add_module(leaf, module)


def _module(layer):
    """An nn.Module where the layer has parameters or a mode, else a function."""
    builders = {
        "convolution": _convolution,
        "dense": _dense,
        "max_pool": _max_pool,
        "average_pool": _average_pool,
        "batch_normalisation": _batch_normalisation,
        "dropout": lambda _: nn.Dropout(layer.rate),
        "global_average_pool": lambda _: lambda x: x.mean((2, 3), keepdim=True),
        "global_max_pool": lambda _: lambda x: x.amax((2, 3), keepdim=True),
        "relu": lambda _: functional.relu,
        "gelu": lambda _: functional.gelu,
        "silu": lambda _: functional.silu,
        "add": lambda _: lambda a, b: a + b,
        "flatten": lambda _: lambda x: x.flatten(1),
        "scale": lambda _: lambda x: x * layer.factor,
    }
    return builders[layer.type](layer)


def _convolution(layer):
    top, bottom, left, right = layer.padding
    shape = (layer.input.channels, layer.output.channels, layer.kernel)
    options = {"stride": layer.stride, "bias": layer.bias}
    if top == bottom and left == right:
        module = nn.Conv2d(*shape, padding=(top, left), **options)
    else:
        module = _PaddedConvolution((left, right, top, bottom), *shape, **options)
    return _freeze(layer, module)


def _dense(layer):
    return _freeze(layer, _Dense(layer.input.elements(), layer.output.channels, bias=layer.bias))


def _batch_normalisation(layer):
    return _freeze(layer, nn.BatchNorm2d(layer.input.channels, eps=layer.epsilon, momentum=layer.momentum))


def _freeze(layer, module):
    module.weight.requires_grad_(layer.train_weights)
    if module.bias is not None:
        module.bias.requires_grad_(layer.train_bias)
    return module


def _max_pool(layer):
    top, bottom, left, right = layer.padding
    lowest = float("-inf")
    return lambda x: functional.max_pool2d(
        functional.pad(x, (left, right, top, bottom), value=lowest) if any(layer.padding) else x,
        layer.kernel, layer.stride)


def _average_pool(layer):
    top, bottom, left, right = layer.padding
    if not any(layer.padding):
        return lambda x: functional.avg_pool2d(x, layer.kernel, layer.stride)

    def pool(x):  # only the pixels inside the image count
        ones = functional.pad(torch.ones_like(x[:1, :1]), (left, right, top, bottom))
        padded = functional.pad(x, (left, right, top, bottom))
        return (functional.avg_pool2d(padded, layer.kernel, layer.stride)
                / functional.avg_pool2d(ones, layer.kernel, layer.stride))

    return pool
