#!/usr/bin/env python3
"""Times a training step of Keras on TensorFlow, by `train_on_batch` or by `fit`. Run by tools/bench_peers.

`fit` is given as many steps as are timed, from a data set that repeats one batch held in memory.
"""

import os
import time

from common import arguments, batch, report, time_steps, unavailable

args = arguments(__doc__).parse_args()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["KERAS_BACKEND"] = "tensorflow"
try:
    import keras
    import tensorflow
except ImportError as error:
    unavailable(f"Keras/TensorFlow is not installed ({error})")
import keras_networks  # noqa: E402  (after the path that common sets)
import network_file  # noqa: E402

tensorflow.config.threading.set_intra_op_parallelism_threads(args.threads)
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
keras.utils.set_random_seed(0)
if args.precision == "bf16":
    unavailable("Keras is measured in fp32")

network = network_file.load(args.network)
model = keras_networks.build(network)
model.compile(
    optimizer=keras.optimizers.SGD(1e-3, momentum=0.9, nesterov=True),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
images, labels = batch(args.batch, network.input, network.classes)

if args.mode == "fit":
    data = tensorflow.data.Dataset.from_tensors((tensorflow.constant(images), tensorflow.constant(labels))).repeat()
    model.fit(data, steps_per_epoch=2, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(data, steps_per_epoch=args.steps, epochs=1, verbose=0)
    seconds = [(time.perf_counter() - start) / args.steps]
else:
    seconds = time_steps(lambda: model.train_on_batch(images, labels), args.steps)
report(args.batch, seconds, version=f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}")
