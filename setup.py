"""The optional C kernel; everything else is in pyproject.toml.

Where it cannot be compiled the installation goes on without it, and torch operations do its work.
"""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "sppkit/kernels/c"
SOURCES = ("module", "tensor_access", "sharing", "reading", "layout", "totals")
HEADERS = (
    "histogram",
    "lanes",
    "layout",
    "passes",
    "portable",
    "reading",
    "sharing",
    "state",
    "tensor_access",
    "totals",
)

# Sums of several lanes change the order of additions, which `omp simd` permits; no runtime is used.
FLAGS = {
    "unix": [
        "-O3",
        "-fopenmp-simd",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-Wno-psabi",
        "-pthread",
    ],
    "msvc": ["/O2", "/std:c11"],
}


class BuildWithFlags(build_ext):
    """Knows the compiler only when it builds."""

    def build_extension(self, extension: Extension) -> None:
        """Compile with the flags of this compiler."""
        flags = FLAGS["msvc" if self.compiler.compiler_type == "msvc" else "unix"]
        extension.extra_compile_args = list(flags)
        super().build_extension(extension)


setup(
    cmdclass={"build_ext": BuildWithFlags},
    ext_modules=[
        Extension(
            "sppkit.kernels._native",
            sources=[f"{FOLDER}/{name}.c" for name in SOURCES],
            depends=[f"{FOLDER}/{name}.h" for name in HEADERS],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
