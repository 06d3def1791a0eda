#!/usr/bin/env python3
"""Trains a network in Keras as the recipe seed-baseline does: Adam, batch 64, pixels between 0 and 1.

One line a seed: the test accuracy after each epoch. Needs keras (and tensorflow).
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import keras  # after its log level
    import numpy as np
except ImportError as missing:
    sys.exit(f"keras_baseline.py: {missing}: pip install tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras_networks  # noqa: E402  (after the path)
import network_file  # noqa: E402


def read_cifar10(folder, names):
    """Images [N,32,32,3] between 0 and 1, and labels, of files of CIFAR-10's binary version."""
    rows = np.concatenate([np.fromfile(folder / name, dtype=np.uint8) for name in names]).reshape(-1, 1 + 3 * 32 * 32)
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images.astype(np.float32) / 255, rows[:, 0].astype(np.int64)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="of CIFAR-10, binary version")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()

if not (args.data / "test_batch.bin").is_file():
    parser.error(f"--data {args.data}: no test_batch.bin there: expected the folder of CIFAR-10's binary version")
train = read_cifar10(args.data, [f"data_batch_{i}.bin" for i in range(1, 6)])
test = read_cifar10(args.data, ["test_batch.bin"])
for seed in range(args.seeds):
    keras.utils.set_random_seed(seed)
    model = keras_networks.build(network_file.load(network_file.ZOO / "seed.json"))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(*train, batch_size=64, epochs=args.epochs, validation_data=test, verbose=0).history
    print(f"seed {seed}:", *(f"{accuracy:.4f}" for accuracy in history["val_accuracy"]), flush=True)
