"""Builds a network file in Keras 3, channels last as Keras likes it on a CPU. Needs keras.

Only for timing: frozen weights and fixed scales are stated, initial weights are Keras' own.
"""

import keras

import network_file


def build(network):
    """A keras.Model [N,H,W,C] -> logits [N,classes], from a network_file.Network."""
    extent = network.input
    images = keras.Input((extent.height, extent.width, extent.channels))
    outputs = []
    for layer in network.layers:
        inputs = [images if source == network_file.NETWORK_INPUT else outputs[source] for source in layer.inputs]
        outputs.append(_apply(layer, *inputs))
    return keras.Model(images, outputs[-1])


def _apply(layer, x, *others):
    layers = keras.layers
    if layer.type == "convolution":
        convolution = layers.Conv2D(layer.output.channels, layer.kernel, layer.stride, padding=_rule(layer),
                                    use_bias=layer.bias, trainable=layer.train_weights)
        return convolution(_padded(layer, x))
    if layer.type == "max_pool":
        return layers.MaxPooling2D(layer.kernel, layer.stride, padding=_rule(layer))(_padded(layer, x))
    if layer.type == "average_pool":
        return layers.AveragePooling2D(layer.kernel, layer.stride, padding=_rule(layer))(_padded(layer, x))
    if layer.type == "dense":
        return layers.Dense(layer.output.channels, use_bias=layer.bias, trainable=layer.train_weights)(_flat(x))
    if layer.type == "batch_normalisation":
        return layers.BatchNormalization(momentum=1 - layer.momentum, epsilon=layer.epsilon,
                                         scale=layer.train_weights, center=layer.train_bias)(x)
    simple = {
        "dropout": lambda: layers.Dropout(layer.rate)(x),
        "global_average_pool": lambda: layers.GlobalAveragePooling2D(keepdims=True)(x),
        "global_max_pool": lambda: layers.GlobalMaxPooling2D(keepdims=True)(x),
        "relu": lambda: layers.Activation("relu")(x),
        "gelu": lambda: layers.Activation("gelu")(x),
        "silu": lambda: layers.Activation("silu")(x),
        "add": lambda: layers.Add()([x, *others]),
        "flatten": lambda: _flat(x),
        "scale": lambda: layers.Rescaling(layer.factor)(x),
    }
    return simple[layer.type]()


def _same(layer):
    """The padding that TensorFlow calls SAME."""
    rule = network_file.padding_sides("same", layer.input, layer.kernel, layer.stride)
    return any(layer.padding) and layer.padding == rule


def _rule(layer):
    return "same" if _same(layer) else "valid"


def _padded(layer, x):
    top, bottom, left, right = layer.padding
    if _same(layer) or not any(layer.padding):
        return x
    if layer.type != "convolution":
        raise ValueError(f"layer '{layer.name}': Keras pools with 'same' or 'valid' padding only")
    return keras.layers.ZeroPadding2D(((top, bottom), (left, right)))(x)


def _flat(x):
    return keras.layers.Flatten()(x) if len(x.shape) > 2 else x
