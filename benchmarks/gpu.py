"""What a GPU makes of dsae: its results against the CPU's, then its times beside dense float32, TF32 and bfloat16.

    python benchmarks/gpu.py [--quick] [--seconds 420] [--device cuda] [-o gpu.json]

It needs torch and dsae with its dependencies, no more: an installed wheel, or a checkout as it is::

    PYTHONPATH=src python benchmarks/gpu.py

A checkout without the compiled extension warns and checks against numpy's kernels; times on the GPU are the same.
Every line is printed when it is known; a part that fails says why, and the others follow. No part begins after
``--seconds``. The exit status is 1 where a result differs from the CPU's or a part failed.
``--device cpu --quick`` tries the script itself on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator

import torch
from on_gpu.checks import check_fits, check_layers, check_resume, check_sparse_rows
from on_gpu.report import Report
from on_gpu.times import dictionary, fits, layers, wide


def machine(report: Report) -> None:
    """What it runs on."""
    import dsae
    from dsae import kernels

    report.row("machine", "torch", version=torch.__version__, cuda=str(torch.version.cuda), dsae=dsae.__version__)
    report.row("machine", "compiled kernels", native=kernels.NATIVE, threads=torch.get_num_threads())
    if report.on_gpu:
        p = torch.cuda.get_device_properties(0)
        report.row("machine", p.name, GiB=p.total_memory / 2**30, multiprocessors=p.multi_processor_count)


PARTS = (machine, check_layers, check_sparse_rows, check_fits, check_resume, layers, fits, dictionary, wide)


def _due(report: Report) -> Iterator[Callable[[Report], None]]:
    for part in PARTS:
        if time.perf_counter() - report.begun > report.seconds:
            print(f"{part.__name__}: left out, the time is over", flush=True)
        else:
            yield part


def main() -> int:
    """All parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--seconds", type=float, default=420.0, help="no part begins after this")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("-o", "--output", help="a JSON file of all lines")
    report = Report(parser.parse_args())
    if report.on_gpu and not torch.cuda.is_available():
        print("torch finds no cuda device; --device cpu --quick tries the script itself.")
        return 1
    for part in _due(report):
        start = time.perf_counter()
        try:
            part(report)
        except Exception:
            report.failed = True
            report.row("FAILED", part.__name__, result="FAILED")
            traceback.print_exc(file=sys.stdout)
        if report.on_gpu:
            torch.cuda.empty_cache()
        print(f"  ({part.__name__}: {time.perf_counter() - start:.1f} s)", flush=True)
    print("FAILED" if report.failed else "all results as on the CPU", flush=True)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
