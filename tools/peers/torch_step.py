#!/usr/bin/env python3
"""Times a training step of PyTorch eager, channels-last; bf16 and fp16 are autocast, fp16 with a loss scale.

On a GPU the batch lies there already, and steps are timed in rows, each ended by one synchronisation: waiting after
every step would hide what the host can prepare meanwhile. Run by tools/bench_peers and tools/gpu_acceptance.
"""

from common import arguments, report, time_steps, unavailable

args = arguments(__doc__).parse_args()
try:
    import torch
except ImportError as error:
    unavailable(f"PyTorch cannot be imported ({error})")
from torch_training import Training, lacks  # noqa: E402  (where there is PyTorch)

if reason := lacks(args.device, args.precision):
    unavailable(reason)
on_gpu = args.device == "cuda"
STEPS_IN_ROW = 10 if on_gpu else 1
if on_gpu:
    torch.backends.cudnn.benchmark = True  # its own search for the fastest convolutions
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
training = Training(args)


def row_of_steps():
    for _ in range(STEPS_IN_ROW):
        loss = training.step()
    return loss.item()  # waits for the device


seconds = [row / STEPS_IN_ROW for row in time_steps(row_of_steps, args.steps)]
report(args.batch, seconds, version=f"PyTorch {torch.__version__}",
       peak_device_bytes=torch.cuda.max_memory_allocated() if on_gpu else 0)
