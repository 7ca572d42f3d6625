#!/usr/bin/env python3
"""Time PyTorch on the shapes that `blip2-bench kernels` has measured, on the same GPU.

    python3 sdpa.py [--device cuda|cpu] [--samples N] KERNELS.jsonl... > peers.jsonl

Attention: scaled_dot_product_attention, each backend by itself (flash, efficient, cudnn, math).
Linear: torch.nn.functional.linear, which is cuBLAS, with what a gated one does to its halves. As there, calls go into a CUDA graph
over changing operands, and graphs are timed by events, one after the other without a pause. One JSON
object a line; a shape that a backend does not take has "error". Packed, contiguous inputs, as
PyTorch likes them best: keys and values in pages are not in it.
"""
import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
SAMPLE = 2e-3  # seconds of one sample
MOST_CALLS = 2048


def backends():
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        return [("default", None)], None
    known = [("flash", "FLASH_ATTENTION"), ("efficient", "EFFICIENT_ATTENTION"),
             ("cudnn", "CUDNN_ATTENTION"), ("math", "MATH")]
    return [(name, getattr(SDPBackend, what)) for name, what in known
            if hasattr(SDPBackend, what)], sdpa_kernel


def rounds(work, sets, calls):
    for i in range(calls):
        work(i % sets)


def seconds_cpu(work, sets, samples):
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        rounds(work, sets, sets)
        times.append((time.perf_counter() - start) / sets)
    return sorted(times)[len(times) // 2], "eager"


def timed(run, samples):
    """Median seconds of run(), queued 1 + samples times without waiting in between."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(samples + 1)]
    for event in events:
        run()
        event.record()
    torch.cuda.synchronize()
    times = [1e-3 * events[i].elapsed_time(events[i + 1]) for i in range(samples)]
    return sorted(times)[samples // 2]


def graph_of(work, sets, calls):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rounds(work, sets, calls)
    return graph


def seconds_cuda(work, sets, samples):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        rounds(work, sets, max(sets, 3))
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    try:
        once = timed(graph_of(work, sets, sets).replay, 1)
        calls = min(max(sets, int(sets * SAMPLE / max(once, 1e-9))), MOST_CALLS)
        return timed(graph_of(work, sets, calls).replay, samples) / calls, "graph"
    except RuntimeError:  # a backend that can't be captured
        torch.cuda.synchronize()
        return timed(lambda: rounds(work, sets, sets), samples) / sets, "eager"


def operands(shape, count, kind, device):
    return [torch.randn(shape, device=device, dtype=torch.float32).to(kind) for _ in range(count)]


def attention(row, device):
    """work(i) and whether the backend matters."""
    kind, sets, batch = TYPES[row["activations"]], row["sets"], row["segments"]
    heads, size, n, m = row["heads"], row["head_size"], row["n"], row["m"]
    q = operands((batch, heads, n, size), sets, kind, device)
    k = operands((batch, heads, m, size), sets, kind, device)
    v = operands((batch, heads, m, size), sets, kind, device)
    causal = row["causal"] and n == m  # one query row sees all keys before it
    # T5's bias is a mask here: [1, heads, n, m], as its PyTorch code has it.
    bias = operands((1, heads, n, m), 1, kind, device)[0] if row["bias_span"] else None
    return lambda i: F.scaled_dot_product_attention(q[i], k[i], v[i], bias, is_causal=causal)


def linear(row, device):
    kind, sets = TYPES[row["activations"]], row["sets"]
    weight_kind = {"f16": torch.float16, "bf16": torch.bfloat16}.get(row["compute"], torch.float32)
    x = operands((row["n"], row["k"]), sets, kind, device)
    rows = row["m"] * (2 if row["gated"] else 1)
    w = operands((rows, row["k"]), sets, weight_kind, device)
    b = [None] * sets if row["no_bias"] else operands((rows,), sets, weight_kind, device)
    if row["gated"]:
        def gated(i):
            gate, up = F.linear(x[i].to(weight_kind), w[i], b[i]).chunk(2, -1)
            return F.gelu(gate, approximate="tanh") * up
        return gated
    return lambda i: F.linear(x[i].to(weight_kind), w[i], b[i])


def report(row, backend, measure):
    out = {"name": row["name"], "batch": row["batch"], "compute": row["compute"],
           "backend": backend}
    try:
        out["seconds"], out["how"] = measure()
        if row["flops"] > 0:
            out["tflop_per_s"] = row["flops"] / out["seconds"] * 1e-12
    except Exception as error:  # any: the next shape is worth trying
        out["error"] = str(error).strip().splitlines()[0][:200] if str(error) else repr(error)
    print(json.dumps(out), flush=True)


def run_row(row, options, kinds, chooser):
    seconds = seconds_cpu if options.device == "cpu" else seconds_cuda
    torch.backends.cuda.matmul.allow_tf32 = row["compute"] == "tf32"
    if row["op"] == "linear":
        work = linear(row, options.device)
        report(row, "linear", lambda: seconds(work, row["sets"], options.samples))
        return
    work = attention(row, options.device)
    for name, backend in kinds:
        def measure(backend=backend):
            if backend is None:
                return seconds(work, row["sets"], options.samples)
            with chooser(backend):
                return seconds(work, row["sets"], options.samples)
        report(row, name, measure)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--samples", type=int, default=15)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    kinds, chooser = backends()
    facts = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if options.device != "cpu":
        facts.update(gpu=torch.cuda.get_device_name(), cudnn=torch.backends.cudnn.version())
    print(json.dumps(facts), flush=True)
    torch.manual_seed(0)
    rows = []
    for name in options.files:
        with open(name) as file:
            rows += [json.loads(line) for line in file if line.startswith("{")]
    # Attention first: it is what the comparison is about, should time run out.
    for wanted in ("attention", "linear"):
        for row in rows:
            if row.get("op") == wanted and "seconds" in row:
                with torch.no_grad():
                    run_row(row, options, kinds, chooser)


if __name__ == "__main__":
    sys.exit(main())
