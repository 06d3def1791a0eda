"""Links by name: what their makers state, which nobody gets whole. Latencies are those with which NCCL 2.12 reckons for
rings and its protocol Simple (src/graph/tuning.cc: 3.4 us over NVLink, 5.7 over PCIe, 9.6 over a network); by TCP they are
several times as long."""

from scaling.model import Link

WITHIN = {
    # 18 links of 25 GB/s each way (NVIDIA, "H100 Tensor Core GPU Architecture"). NCCL reckons with 20.6 (src/graph/topo.h).
    "nvlink4": Link(3.4e-6, 450e9),
    # GPUs that meet in the host's memory, over PCIe 3.0 x16 (PCI_BW in NCCL's src/graph/topo.h).
    "shared-memory": Link(5.7e-6, 12e9),
}
BETWEEN = {
    "ndr": Link(9.6e-6, 50e9),       # InfiniBand NDR, 400 Gb/s
    "100gbe": Link(9.6e-6, 12.5e9),  # Ethernet, 100 Gb/s
    "25gbe": Link(9.6e-6, 3.125e9),
}
