"""A training of PyTorch eager, channels-last, on one batch of random images: what torch_step and torch_ddp time."""

import torch

import network_file
import torch_networks
from common import batch

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def has_bf16():
    """Whether the processor multiplies bf16; emulated, it is no peer."""
    flags = ""
    try:
        with open("/proc/cpuinfo") as file:
            flags = file.read()
    except OSError:
        pass
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16 ", "svebf16"))


def lacks(device, precision):
    """Why this machine is no peer in that precision; empty where it is."""
    if device == "cuda" and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no GPU that it can use"
    if device == "cpu" and precision not in ("fp32", "bf16"):
        return f"on the CPU PyTorch is measured in fp32 and bf16, not in {precision}"
    if device == "cpu" and precision == "bf16" and not has_bf16():
        return "this processor has no bf16 arithmetic"
    return ""


class Training:
    """SGD with Nesterov momentum; bf16 and fp16 are autocast, fp16 with a loss scale."""

    def __init__(self, args, parallel=lambda model: model):
        """`parallel` makes of a model one of several processes."""
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        network = network_file.load(args.network)
        model = torch_networks.build(network).to(device=args.device, memory_format=torch.channels_last).train()
        self.model = parallel(model)
        self.optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3, momentum=0.9,
                                         nesterov=True)
        images, labels = batch(args.batch, network.input, network.classes)
        # NCHW in shape, NHWC in memory: channels-last
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).to(args.device)
        self.labels = torch.from_numpy(labels).to(args.device)
        self.device = args.device
        self.half = HALF.get(args.precision)
        self.scaler = torch.amp.GradScaler(args.device, enabled=args.precision == "fp16")

    def step(self):
        """Its loss, for which nobody has waited."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=self.half or torch.bfloat16, enabled=self.half is not None):
            logits = self.model(self.images)
        loss = torch.nn.functional.cross_entropy(logits.float(), self.labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss
