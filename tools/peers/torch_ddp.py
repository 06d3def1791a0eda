#!/usr/bin/env python3
"""Times a training step of PyTorch's DistributedDataParallel: processes of this host, over gloo, on cores of their own.

--batch is each process'; one process trains without it. Images per second are of all of them, by the first one's median
step. Run by tools/experiments/scaling.
"""

import os
import socket
import sys

from common import arguments, report, time_steps, unavailable

parser = arguments(__doc__)
parser.add_argument("--ranks", type=int, default=1)
args = parser.parse_args()
try:
    import torch
    import torch.distributed
    import torch.multiprocessing
except ImportError as error:
    unavailable(f"PyTorch cannot be imported ({error})")
from torch_training import Training, lacks  # noqa: E402  (where there is PyTorch)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train(rank, port):
    cores = sorted(os.sched_getaffinity(0))
    if args.ranks * args.threads <= len(cores):
        os.sched_setaffinity(0, cores[rank * args.threads:(rank + 1) * args.threads])
    if args.ranks == 1:
        training = Training(args)
    else:
        torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank,
                                             world_size=args.ranks)
        training = Training(args, torch.nn.parallel.DistributedDataParallel)
    seconds = time_steps(lambda: training.step().item(), args.steps)
    if rank == 0:
        report(args.batch * args.ranks, seconds, version=f"PyTorch {torch.__version__}", ranks=args.ranks)
    if args.ranks > 1:
        torch.distributed.barrier()  # whoever leaves first would break the connections of the others
        sys.stdout.flush()
        os._exit(0)  # taking gloo down now and then ends in SIGABRT ("terminate called without an active exception")


if __name__ == "__main__":
    if args.device != "cpu":
        unavailable("DistributedDataParallel is measured on the CPU")
    if reason := lacks(args.device, args.precision):
        unavailable(reason)
    torch.multiprocessing.start_processes(train, (free_port(),), nprocs=args.ranks, start_method="spawn")
