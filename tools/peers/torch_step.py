#!/usr/bin/env python3
"""Times a training step of PyTorch eager, channels-last; bf16 is autocast. Run by tools/bench_peers."""

from common import arguments, batch, report, time_steps, unavailable

args = arguments(__doc__)
try:
    import torch
except ImportError as error:
    unavailable(f"PyTorch is not installed ({error})")
import network_file  # noqa: E402  (after the path that common sets)
import torch_networks  # noqa: E402


def has_bf16():
    """Whether the processor multiplies bf16; emulated, it is no peer."""
    flags = ""
    try:
        with open("/proc/cpuinfo") as file:
            flags = file.read()
    except OSError:
        pass
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16 ", "svebf16"))


if args.precision == "bf16" and not has_bf16():
    unavailable("this processor has no bf16 arithmetic")

torch.set_num_threads(args.threads)
torch.manual_seed(0)
network = network_file.load(args.network)
model = torch_networks.build(network).to(memory_format=torch.channels_last).train()
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3, momentum=0.9, nesterov=True)
images, labels = batch(args.batch, network.input, network.classes)
images = torch.from_numpy(images).permute(0, 3, 1, 2)  # NCHW in shape, NHWC in memory: channels-last
labels = torch.from_numpy(labels)


def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
        logits = model(images)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


report(args.batch, time_steps(step, args.steps), version=f"PyTorch {torch.__version__}")
