"""Compiles the Triton kernels for a GPU that need not be there."""

import re
import subprocess
import sys
from tempfile import NamedTemporaryFile

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sppkit.kernels import triton_programs

HOPPER = GPUTarget("cuda", 90, 32)
UNSPILLED_STACK = 8
"""Bytes: LLVM reserves one for the float64 variant and never uses it; a spill takes more."""

ALIGNED = [["tt.divisibility", 16]]


def compiled(function, signature: dict[str, str], constants: dict[str, object], aligned: set[str]):
    """Compile down to machine code, see that no register is spilled, and return the PTX."""
    signature = signature | dict.fromkeys(constants, "constexpr")
    attributes = {(function.arg_names.index(name),): ALIGNED for name in aligned}
    source = ASTSource(function, signature, constants, attributes)
    result = triton.compile(source, target=HOPPER, options={"enable_fp_fusion": True})
    with NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stack = int(re.search(r"STACK:(\d+)", usage)[1])
    assert stack <= UNSPILLED_STACK, usage
    return result.asm["ptx"]


def read_tiles(dtype: str, rows: int, width: int, *, extended: bool, columns: bool) -> str:
    precise = "*fp64" if dtype == "fp64" else "*fp32"
    numbers = ["outer", "inner", "stride_outer", "stride_channel", "units", "parts", "part_stride",
               "tiles", "chunks", "run"]  # fmt: skip
    pointers = {"values": f"*{dtype}", "partial": precise}
    pointers["histogram"] = "*i64" if extended else precise
    constants = {"stride_inner": 1, "EXTENDED": extended, "COLUMNS": columns, "R": rows}
    return compiled(
        triton_programs.read_tiles,
        {
            name: (pointers | dict.fromkeys(numbers, "i32")).get(name, "constexpr")
            for name in triton_programs.read_tiles.arg_names
        },
        constants | {"W": width, "UNROLL": 4},
        {*pointers, "inner", "stride_outer", "stride_channel"},
    )


def merge_parts(precise: str, *, extended: bool) -> str:
    pointers = {"partial": precise, "rows": "*fp64", "histogram": "*i64" if extended else precise}
    numbers = ["channels", "parts", "part_stride", "row_stride", "column", "repeats"]
    signature = pointers | dict.fromkeys(numbers, "i32")
    constants = {"EXTENDED": extended, "C": 1, "K": 512}
    return compiled(triton_programs.merge_parts, signature, constants, set(pointers))


def assert_fast_and_exact(ptx: str, vector_load: str) -> None:
    """Loads are of 16 bytes per thread, and no subnormal number is flushed."""
    loads = set(re.findall(r"ld\.global\S*", ptx))
    assert any(vector_load in load for load in loads), loads
    assert ".ftz" not in ptx


VARIANTS = {
    "float32": lambda: assert_fast_and_exact(
        read_tiles("fp32", 8, 64, extended=False, columns=False), ".v4.b32"
    ),
    "bfloat16, extended, columns": lambda: assert_fast_and_exact(
        read_tiles("bf16", 16, 64, extended=True, columns=True), ".v4.b32"
    ),
    "float64, extended": lambda: assert_fast_and_exact(
        read_tiles("fp64", 4, 64, extended=True, columns=False), ".v2.b64"
    ),
    "merge, float64, extended": lambda: merge_parts("*fp64", extended=True),
}

if __name__ == "__main__":
    VARIANTS[sys.argv[1]]()
