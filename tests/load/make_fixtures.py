"""Make the two small torch.save files of test_pth.c (run once; needs torch)."""
import collections
import pathlib
import sys

import torch

here = pathlib.Path(__file__).parent / "data"
here.mkdir(exist_ok=True)
base = torch.arange(12, dtype=torch.float32)
state = collections.OrderedDict()
state["plain"] = base.reshape(3, 4)
state["view"] = base[4:10].reshape(2, 3)  # starts inside the storage of "plain"
state["turned"] = base.reshape(3, 4).t()  # not contiguous: [4, 3]
state["column"] = base.reshape(3, 4)[:, 1]
state["half"] = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float16)
state["brain"] = torch.tensor([[1.5, -3.0]], dtype=torch.bfloat16)
state["parameter"] = torch.nn.Parameter(torch.tensor([7.0]))
state["longs"] = torch.tensor([1, -1, 1 << 40])
state["bytes"] = torch.tensor([1, 255], dtype=torch.uint8)
state["double"] = torch.tensor([0.25], dtype=torch.float64)
state["scalar"] = torch.tensor(0.07)
state["empty"] = torch.zeros(0, 3)
state._metadata = collections.OrderedDict({"": {"version": 1}})
everything = {
    "model": state,
    "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "lr": 1e-5, "betas": (0.9, 0.98)},
    "config": {"run": {"task": "caption", "amp": True, "seed": 42, "big": 1 << 80, "none": None}},
    "epoch": 5,
}
torch.save(everything, here / "tiny_zip.pth")
torch.save(everything, here / "tiny_legacy.pth", _use_new_zipfile_serialization=False)
print(torch.__version__, file=sys.stderr)
