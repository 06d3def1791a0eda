#!/usr/bin/env python3
"""Rebuilds a run's network in PyTorch from its weights file, and proves that both compute the same.

examples:
  tools/load_torch.py runs/R/weights.safetensors              the module, its parameters, nothing else
  convoy eval --weights runs/R/weights.safetensors --data cifar-10-binary.tar.gz --logits logits.safetensors
  tools/load_torch.py runs/R/weights.safetensors --logits logits.safetensors --images cifar-10-batches-bin/test_batch.bin
  tools/load_torch.py --from-torch state_dict.pt --model resnet18 --out start.safetensors
                                                              for convoy train --model resnet18 --init start.safetensors
  tools/load_torch.py --from-torch state_dict.pt --like runs/R/weights.safetensors --out theirs.safetensors
                                                              for convoy eval and predict too: network, classes and
                                                              normalisation are those of that run

In a program of your own: `model, information = load_torch.load("weights.safetensors")`.
Needs torch, numpy and safetensors.
"""

import argparse
import gzip
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import network_file  # noqa: E402

MISSING = None
try:
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    import torch_networks
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    MISSING = error.name  # main() says so, after --help

# Share of the largest logit. Two fp32 programs that sum thousands of terms through twenty layers in different orders
# differ by some 1e-6 of it; anything structural (order, epsilon, padding, statistics) by far more than this.
TOLERANCE = 1e-4


def load(path):
    """(module in evaluation mode, {"mean", "std", "classes"}) from a weights file that Convoy wrote."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}
    if "convoy.network" not in metadata:
        sys.exit(f"load_torch: {path}: no network in the metadata; was it written by convoy train?")
    information = {key: json.loads(metadata[f"convoy.{key}"]) for key in ("mean", "std", "classes")}
    network = network_file.load(metadata["convoy.network"], len(information["classes"]), len(information["mean"]))
    model = torch_networks.build(network)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"load_torch: {path}: missing {missing}, unexpected {unexpected}")
    return model.eval(), information


def normalised(pixels, information, channels):
    """uint8 [N,H,W,C] -> float [N,channels,H,W] as the run saw it; a channel that never changes is only shifted."""
    mean = np.array(information["mean"])
    deviation = np.array(information["std"])
    deviation = np.where(deviation > 0, deviation, 1)
    values = torch.from_numpy(((pixels / 255.0 - mean) / deviation).astype(np.float32)).permute(0, 3, 1, 2)
    return values.expand(-1, channels, -1, -1) if values.shape[1] == 1 else values


def read_images(path, classes):
    """(uint8 [N,H,W,C], labels) of a CIFAR binary file, or of an IDX file (28x28 padded to 32x32) without labels."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if data[:4] == b"\x00\x00\x08\x03":
        count, height, width = struct.unpack(">III", data[4:16])
        images = np.frombuffer(data, np.uint8, offset=16).reshape(count, height, width, 1)
        rows, columns = (32 - height) // 2, (32 - width) // 2
        return np.pad(images, ((0, 0), (rows, 32 - height - rows), (columns, 32 - width - columns), (0, 0))), None
    pixels = 3 * 32 * 32
    labels = 1 if classes == 10 else 2  # CIFAR-100 has a coarse and a fine one
    if len(data) % (labels + pixels) != 0:
        sys.exit(f"load_torch: {path}: neither IDX images nor CIFAR binary of {classes} classes ({labels + pixels:,} "
                 f"bytes a record, {len(data):,} found)")
    records = np.frombuffer(data, np.uint8).reshape(-1, labels + pixels)
    images = records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, 0 if classes in (10, 20) else 1].astype(np.int64)


def compute(model, pixels, information, batch=500):
    channels = model.network.input.channels
    with torch.no_grad():
        parts = [model(normalised(pixels[i:i + batch], information, channels)) for i in range(0, len(pixels), batch)]
    return torch.cat(parts).numpy()


def compare(model, information, args):
    """Asserts that PyTorch's logits equal the file's."""
    with safe_open(args.logits, "np") as file:
        expected, labels = file.get_tensor("logits"), file.get_tensor("labels")
    pixels, own_labels = read_images(args.images, len(information["classes"]))
    if len(pixels) != len(expected):
        sys.exit(f"load_torch: {args.images}: {len(expected):,} images expected, as {args.logits} has, "
                 f"{len(pixels):,} found")
    if own_labels is not None and not np.array_equal(own_labels, labels):
        sys.exit(f"load_torch: {args.images} is another set than {args.logits}: the labels differ")
    if args.count:
        pixels, expected, labels = pixels[:args.count], expected[:args.count], labels[:args.count]
    logits = compute(model, pixels, information)
    scale = np.abs(expected).max()
    deviation = np.abs(logits - expected).max() / scale
    accuracy = (logits.argmax(1) == labels).mean()
    print(f"{len(pixels):,} images: PyTorch's logits deviate by at most {deviation:.2e} of the largest ({scale:.4g}); "
          f"accuracy {accuracy:.4f}, convoy's {(expected.argmax(1) == labels).mean():.4f}")
    if not deviation <= args.tolerance:
        sys.exit(f"load_torch: the logits differ by {deviation:.2e} of the largest, {args.tolerance:.0e} allowed")


def read_state(path):
    """A state_dict, from torch.save (alone or under "state_dict") or from a safetensors file."""
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state.get("state_dict", state)


def metadata_for(args):
    """What convoy eval needs beside the tensors; empty where nothing says it, which is enough for --init."""
    if args.like:
        with safe_open(args.like, "pt") as file:
            metadata = file.metadata() or {}
        if "convoy.network" not in metadata:
            sys.exit(f"load_torch: {args.like}: no network in the metadata; was it written by convoy train?")
        return metadata
    if not args.mean:
        return {}
    names = args.class_names or [str(number) for number in range(args.classes)]
    if not len(args.mean) == len(args.std or []) == args.channels or len(names) != args.classes:
        sys.exit(f"load_torch: --mean and --std of {args.channels} channels and {args.classes} --class-names expected")
    return {
        "convoy.network": json.dumps(network_file.bound(args.model, args.classes, args.channels)),
        "convoy.mean": json.dumps(args.mean),
        "convoy.std": json.dumps(args.std),
        "convoy.classes": json.dumps(names),
        "convoy.recipe": "from PyTorch",
        "convoy.views": "1",
        "convoy.evaluation_batch": "500",
        "convoy.precision": "fp32",
    }


def from_torch(args):
    """Writes a state_dict under the network's names, for convoy train --init, and for convoy eval where it is known
    what its classes and pixels are."""
    state = read_state(args.from_torch)
    metadata = metadata_for(args)
    model = metadata.get("convoy.network", args.model)
    network = network_file.load(model, args.classes, args.channels)
    wanted = {name: tuple(value.shape) for name, value in torch_networks.build(network).state_dict().items()
              if not name.endswith("num_batches_tracked")}
    for name, shape in wanted.items():
        found = tuple(state[name].shape) if name in state else "nothing"
        if found != shape:
            sys.exit(f"load_torch: {args.from_torch}: '{name}': {shape} expected, {found} found")
    extra = sorted(name for name in state if name not in wanted and not name.endswith("num_batches_tracked"))
    if extra:
        sys.exit(f"load_torch: {args.from_torch}: network {network.name} has no {', '.join(extra[:5])}")
    save_file({name: state[name].float().contiguous() for name in wanted}, args.out, metadata)
    uses = "convoy train --init, eval and predict" if metadata else "convoy train --init"
    print(f"written: {args.out}, {len(wanted)} tensors, for {uses}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", type=Path, help="weights.safetensors of a run")
    parser.add_argument("--logits", type=Path, metavar="FILE", help="what convoy eval --logits wrote; needs --images")
    parser.add_argument("--images", type=Path, metavar="FILE",
                        help="the test images: a CIFAR-10 or CIFAR-100 binary file or an IDX file, plain or .gz")
    parser.add_argument("--count", type=int, default=0, help="only the first so many images (default all)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE,
                        help="share of the largest logit (%(default)s; bf16 runs: 0.05)")
    parser.add_argument("--from-torch", type=Path, metavar="FILE", help="the other way: a state_dict saved by torch.save, or a .safetensors file")
    parser.add_argument("--model", default="resnet18", help="with --from-torch: zoo name or network file (%(default)s)")
    parser.add_argument("--classes", type=int, default=10, help="with --from-torch (%(default)s)")
    parser.add_argument("--channels", type=int, default=3, help="with --from-torch (%(default)s)")
    parser.add_argument("--like", type=Path, metavar="FILE",
                        help="with --from-torch: a run's weights file with the same network, classes and normalisation")
    parser.add_argument("--mean", type=float, nargs="+", metavar="X",
                        help="with --from-torch, instead of --like: what pixels in 0..1 are normalised by, each channel")
    parser.add_argument("--std", type=float, nargs="+", metavar="X", help="the same: their deviation")
    parser.add_argument("--class-names", nargs="+", metavar="NAME", help="the same: the classes, in order (0, 1, ...)")
    parser.add_argument("--out", type=Path, default=Path("start.safetensors"), help="with --from-torch (%(default)s)")
    args = parser.parse_args()
    if MISSING:
        print(f"load_torch: {sys.executable} has no {MISSING}: pip install torch numpy safetensors, or take a Python "
              "that has them", file=sys.stderr)
        sys.exit(2)
    if args.from_torch:
        from_torch(args)
        return
    if not args.weights:
        parser.error("which weights file? Or --from-torch")
    if (args.logits is None) != (args.images is None):
        parser.error("--logits and --images belong together")
    model, information = load(args.weights)
    count = sum(p.numel() for p in model.parameters())
    print(f"{args.weights}: network {model.network.name}, {count:,} parameters, {len(information['classes'])} classes")
    if args.logits:
        compare(model, information, args)


if __name__ == "__main__":
    main()
