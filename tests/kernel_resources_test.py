"""What ptxas says of every kernel: no spills and no stack."""

import re
import unittest
from pathlib import Path

FOLDER = Path("cuda_module/CMakeFiles/convoy_cuda.dir/kernels")  # of the build folder, in which tests run

KERNEL = re.compile(r"Compiling entry function '(?P<kernel>\S+)' for '(?P<architecture>sm_\d+a?)'")
STACK = re.compile(r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads")


def kernels(text):
    """(mangled name, architecture, bytes of stack, bytes spilt) of each kernel that ptxas tells of."""
    found, kernel = [], None
    for line in text.splitlines():
        if match := KERNEL.search(line):
            kernel = match
        elif kernel and (match := STACK.search(line)):
            spilt = int(match["stores"]) + int(match["loads"])
            found.append((kernel["kernel"], kernel["architecture"], int(match["stack"]), spilt))
            kernel = None
    return found


class KernelResources(unittest.TestCase):
    def test_every_kernel_keeps_what_it_works_with_in_registers(self):
        if not Path("libconvoy_cuda.so").exists():
            self.skipTest("this build has no CUDA kernels")
        accounts = sorted(FOLDER.glob("*.ptxas"))
        count = 0
        for account in accounts:
            for kernel, architecture, stack, spilt in kernels(account.read_text()):
                count += 1
                with self.subTest(kernel=kernel, architecture=architecture):
                    self.assertEqual(spilt, 0, "bytes spilt")
                    self.assertEqual(stack, 0, "bytes of stack")
        self.assertGreater(count, 50, "kernels that ptxas told of")


if __name__ == "__main__":
    unittest.main()
