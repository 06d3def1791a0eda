#!/usr/bin/env python3
"""Times a training step of PyTorch eager, channels-last; bf16 and fp16 are autocast, fp16 with a loss scale.

On a GPU the batch lies there already, and steps are timed in rows, each ended by one synchronisation: waiting after
every step would hide what the host can prepare meanwhile. Run by tools/bench_peers and tools/gpu_acceptance.
"""

from common import arguments, batch, report, time_steps, unavailable

args = arguments(__doc__)
try:
    import torch
except ImportError as error:
    unavailable(f"PyTorch cannot be imported ({error})")
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


on_gpu = args.device == "cuda"
if on_gpu and not torch.cuda.is_available():
    unavailable(f"PyTorch {torch.__version__} finds no GPU that it can use")
if not on_gpu and args.precision not in ("fp32", "bf16"):
    unavailable(f"on the CPU PyTorch is measured in fp32 and bf16, not in {args.precision}")
if not on_gpu and args.precision == "bf16" and not has_bf16():
    unavailable("this processor has no bf16 arithmetic")

STEPS_IN_ROW = 10 if on_gpu else 1
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.precision)
torch.set_num_threads(args.threads)
torch.manual_seed(0)
network = network_file.load(args.network)
model = torch_networks.build(network).to(device=args.device, memory_format=torch.channels_last).train()
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3, momentum=0.9, nesterov=True)
images, labels = batch(args.batch, network.input, network.classes)
images = torch.from_numpy(images).permute(0, 3, 1, 2).to(args.device)  # NCHW in shape, NHWC in memory: channels-last
labels = torch.from_numpy(labels).to(args.device)
if on_gpu:
    torch.backends.cudnn.benchmark = True  # its own search for the fastest convolutions
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
scaler = torch.amp.GradScaler(args.device, enabled=args.precision == "fp16")


def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(args.device, dtype=HALF or torch.bfloat16, enabled=HALF is not None):
        logits = model(images)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss


def row_of_steps():
    for _ in range(STEPS_IN_ROW):
        loss = step()
    return loss.item()  # waits for the device


seconds = [row / STEPS_IN_ROW for row in time_steps(row_of_steps, args.steps)]
report(args.batch, seconds, version=f"PyTorch {torch.__version__}",
       peak_device_bytes=torch.cuda.max_memory_allocated() if on_gpu else 0)
