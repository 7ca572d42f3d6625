"""Finds what the check is built and run with on a machine nobody has prepared."""
import glob
import os
import re
import shutil
import subprocess
import tarfile
from importlib.util import find_spec
from pathlib import Path

from harness import ROOT

DEPS = ROOT / "gpu-deps"


def nvidia_folders():
    """Folders of NVIDIA's packages from PyPI, as PyTorch brings them."""
    try:
        spec = find_spec("nvidia")
    except (ImportError, ValueError):
        return []
    return [Path(p) for base in (spec.submodule_search_locations if spec else [])
            for p in sorted(glob.glob(base + "/*"))]


def cuda_roots():
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    nvcc = shutil.which("nvcc")
    if nvcc:
        roots.append(str(Path(nvcc).resolve().parents[1]))
    roots += ["/usr/local/cuda"] + sorted(glob.glob("/usr/local/cuda-*"), reverse=True)
    roots += [str(p) for p in nvidia_folders()]
    seen = []
    for root in roots:
        if root and Path(root) not in seen and Path(root).is_dir():
            seen.append(Path(root))
    return seen


def find(roots, *names):
    """The first root/name that is there."""
    for root in roots:
        for name in names:
            hits = sorted(glob.glob(str(root / name)))
            if hits:
                return Path(hits[0])
    return None


def version_of(command, pattern=r"(\d+\.\d+[\w.]*)"):
    try:
        text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=30).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, text)
    return found.group(1) if found else None


def find_cmake(work):
    """A cmake of at least 3.25: the machine's, or the one of gpu-deps."""
    path = shutil.which("cmake")
    version = version_of([path, "--version"]) if path else None
    if version and tuple(map(int, version.split(".")[:2])) >= (3, 25):
        return path
    archive = DEPS / "tools" / "cmake.tar.xz"
    if not archive.is_file():
        return None
    with tarfile.open(archive) as tar:
        tar.extractall(work / "tools")
    return str(work / "tools" / "cmake" / "bin" / "cmake")


def find_tools(work):
    roots = cuda_roots()
    tools = {
        "nvcc": shutil.which("nvcc") or find(roots, "bin/nvcc"),
        "cmake": find_cmake(work),
        "ninja": shutil.which("ninja") or find([DEPS], "tools/ninja"),
        "pkg-config": shutil.which("pkg-config") or find([DEPS], "tools/pkg-config"),
        "cc": shutil.which("cc") or shutil.which("gcc"),
        "c++": shutil.which("c++") or shutil.which("g++"),  # nvcc leaves half of its work to it
        "nvidia-smi": shutil.which("nvidia-smi") or
        find([Path("/usr/local/nvidia")], "bin/nvidia-smi"),
        "compute-sanitizer": shutil.which("compute-sanitizer") or
        find(roots, "bin/compute-sanitizer", "compute-sanitizer/compute-sanitizer"),
        "ptxas": shutil.which("ptxas") or find(roots, "bin/ptxas"),
    }
    return {name: str(path) if path else None for name, path in tools.items()}


def library_folders():
    """Folders of libcublasLt and libcudnn that the loader would not find by itself."""
    roots, out = cuda_roots(), []
    for pattern in ("libcublasLt.so.1[23]", "libcudnn.so.9"):
        hit = find(roots, *(f"{folder}/{pattern}" for folder in
                            ("lib64", "lib", "targets/x86_64-linux/lib")))
        if hit and str(hit.parent) not in out:
            out.append(str(hit.parent))
    return out


def configure_options():
    """What cmake may not find: headers of cuBLASLt and the static runtime."""
    roots = cuda_roots() + [DEPS / "cuda"]
    places = ("include", "targets/x86_64-linux/include")
    libraries = ("lib64", "lib", "targets/x86_64-linux/lib")
    wanted = {
        "BLIP2_CUDA_INCLUDE": find(roots, *(f"{p}/cuda_runtime_api.h" for p in places)),
        "BLIP2_CUBLASLT_INCLUDE": find(roots, *(f"{p}/cublasLt.h" for p in places)),
        "BLIP2_CUDNN_INCLUDE": find(roots, *(f"{p}/cudnn_graph.h" for p in places)),
        "BLIP2_CUDART_STATIC": find(roots, *(f"{p}/libcudart_static.a" for p in libraries)),
    }
    options = []
    for name, path in wanted.items():
        if path:
            options.append(f"-D{name}={path if name.endswith('STATIC') else path.parent}")
    return options
