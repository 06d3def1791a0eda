"""The closed-form parameters, images and labels of the golden files; tests/support/golden.cpp is the same in C++."""

import math

import numpy as np


def _mix(x):
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _fnv1a(text):
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def bits(name, first, count):
    """uint32 [count]: a 32-bit integer hash (Wellons' lowbias32) of the tensor's name and the elements' indices."""
    key = _mix(np.array([_fnv1a(name)], dtype=np.uint32))
    index = (np.arange(first, first + count, dtype=np.uint64) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return _mix(key + index)


def symmetric(name, count):
    """float64 [count], uniform in [-1, 1), of 24 bits."""
    return (bits(name, 0, count) >> np.uint32(8)).astype(np.float64) * 2.0**-23 - 1.0


def parameter(name, shape):
    """float32 in PyTorch's order; the rule stands in tests/support/golden.hpp."""
    count = math.prod(shape)
    kind = name.rsplit(".", 1)[-1]
    if kind == "running_mean":
        return np.zeros(shape, np.float32)
    if kind == "running_var":
        return np.ones(shape, np.float32)
    centre, spread = 0.0, 0.1
    if len(shape) > 1:
        spread = math.sqrt(3.0 / (count // shape[0]))
    elif kind == "weight":
        centre, spread = 1.0, 0.2
    return (centre + spread * symmetric(name, count)).astype(np.float32).reshape(shape)


def images(first, count, height, width, channels, seed):
    """uint8 [count, height, width, channels]."""
    each = height * width * channels
    values = bits(f"images{seed}", first * each, count * each) >> np.uint32(24)
    return values.astype(np.uint8).reshape(count, height, width, channels)


def labels(first, count, classes, seed):
    """int64 [count], below `classes`."""
    return (bits(f"labels{seed}", first, count) % np.uint32(classes)).astype(np.int64)


def sample_positions(count, samples=16):
    """Where a tensor of `count` elements is sampled."""
    return (bits("sample", 0, samples) % np.uint32(count)).astype(np.int64)
