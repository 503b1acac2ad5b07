#!/usr/bin/env python3
"""Compiles models with IREE (llvm-cpu, this machine's processor, -O3) and times them.

usage: peers_iree.py --build FILE MODEL
       peers_iree.py --serve --made FILE MODEL [--threads N]

Its importer wants opset 17 or later and fixed sizes, which it gets. One thread is its local-sync device, several are local-task.
"""
import os
import subprocess
import sys
import time

import onnx

import peer

OPSET = 17
FLAGS = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=host",
         "--iree-opt-level=O3"]


def run(command, what):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.strip().splitlines()[:1]  # or a crash's first
        raise peer.Unable(f"{what}: {lines[0] if lines else f'status {done.returncode}'}")


def build(case, to):
    import iree.compiler
    tool = os.path.join(os.path.dirname(iree.compiler.__file__), "_mlir_libs", "iree-compile")
    onnx.save(peer.pinned_model(case), to + ".onnx")
    try:
        run([sys.executable, "-m", "iree.compiler.tools.import_onnx", to + ".onnx", "-o", to + ".mlir", "--opset-version", str(OPSET)], "import")
        run([tool, to + ".mlir", "-o", to, *FLAGS], "compile")
    finally:
        for file in (to + ".onnx", to + ".mlir"):
            if os.path.exists(file):
                os.remove(file)


class Opened(peer.OnDevice):
    def __init__(self, case, options):
        import iree.runtime as runtime
        from importlib.metadata import version
        self.version, self.runtime = version("iree-base-runtime"), runtime
        start = time.perf_counter()
        if options.threads > 1:
            runtime.flags.parse_flags(f"--task_topology_group_count={options.threads}")
        config = runtime.Config("local-sync" if options.threads == 1 else "local-task")
        self.device = config.device
        module = self.load(runtime, config, options.made)
        self.function = module[self.entry(module)]
        self.load_ms = (time.perf_counter() - start) * 1e3

    @staticmethod
    def load(runtime, config, path):
        context = runtime.SystemContext(config=config)
        module = runtime.VmModule.mmap(context.instance, path)
        context.add_vm_module(module)
        return context.modules[module.name]

    @staticmethod
    def entry(module):
        return next(name for name in module.vm_module.function_names if not name.startswith("__") and not name.endswith("$async"))

    def values(self, arrays):
        return [self.runtime.asdevicearray(self.device, array) for array in arrays]

    def invoke(self, values):
        results = self.function(*values)
        return list(results) if isinstance(results, (tuple, list)) else [results]

    @staticmethod
    def to_host(value):
        return value.to_host()


def open_model(case, options):
    return Opened(case, options)


if __name__ == "__main__":
    sys.exit(peer.main(__doc__, open_model, build))
