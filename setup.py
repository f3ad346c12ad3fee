"""Build the extension modules: one table says which C files each of them links.

The C core in ``csrc/`` is compiled once, with one set of flags and nothing specific to an
instruction set (tiers carry their own target regions), and each extension links exactly the
rooms it uses. The kernel tiers are linked into ``sutra._kernels`` alone; its table travels to
the other modules as a const pointer. Everything else about the project is in pyproject.toml.

Environment switches, for development only:

SUTRA_DEBUG=1
    no optimization, debug information, assertions and Cython's bounds checks
SUTRA_SANITIZE=address,undefined
    compile and link with these sanitizers
SUTRA_WERROR=1
    more warnings for the C core, all of them errors
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# What the store is made of: everything but the kernels.
STORE = [
    f"{room}/*.c"
    for room in (
        "base",
        "io",
        "vectors",
        "quant",
        "graph",
        "concepts",
        "attributes",
        "index",
        "store",
    )
]
# module -> C files
MODULES = {
    "_check": ["base/status.c"],
    "_memory": ["base/*.c"],
    "_mapping": ["base/*.c", "io/*.c"],
    "_kernels": ["base/*.c", "simd/*.c"],
    "_vectors": ["base/*.c", "io/*.c", "vectors/*.c"],
    "_quantizer": ["base/*.c", "quant/*.c"],
    "_graph": ["base/*.c", "io/*.c", "vectors/*.c", "graph/*.c"],
    "_search": [],
    "_index": ["base/*.c", "io/*.c", "vectors/*.c", "quant/*.c", "graph/*.c", "index/*.c"],
    "_concept": [],
    "_ops": ["base/*.c", "io/*.c"],
    "_predicate": ["base/*.c", "attributes/predicate.c", "attributes/value.c"],
    "_fields": [],
    "_view": STORE,
    "_walk": STORE,
    "_settings": STORE,
    "_store": STORE,
}

DEBUG = os.environ.get("SUTRA_DEBUG", "0") not in ("", "0")
SANITIZE = os.environ.get("SUTRA_SANITIZE", "")
WERROR = os.environ.get("SUTRA_WERROR", "0") not in ("", "0")

COMPILE_FLAGS = ["-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"]
COMPILE_FLAGS += ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]
CORE_FLAGS = ["-Wall", "-Wextra"]
# Each extension keeps of its rooms what it calls.
COMPILE_FLAGS += ["-ffunction-sections", "-fdata-sections"]
LINK_FLAGS = ["-pthread", "-Wl,-dead_strip" if sys.platform == "darwin" else "-Wl,--gc-sections"]
if SANITIZE:
    COMPILE_FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g"]
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]
if WERROR:
    CORE_FLAGS += ["-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Wvla", "-Werror"]

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "auto_pickle": False,
    "autotestdict": False,
    "freethreading_compatible": True,
}


# File tables that stand in for the system's in tests of the C core.
STAND_INS = ("csrc/io/faulty", "csrc/io/simulated")


def core_files(patterns):
    """Expand patterns below csrc/ to a sorted list of C files."""
    found = (path for pattern in patterns for path in glob(f"csrc/{pattern}"))
    return sorted(path for path in found if not path.startswith(STAND_INS))


HEADERS = sorted(glob("csrc/*/*.h") + glob("csrc/*/*.def"))


class BuildExtensions(build_ext):
    """Compile every C file of the core once, then link its object where the table says."""

    def finalize_options(self):
        """Compile in parallel unless told otherwise."""
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1

    def build_extensions(self):
        """Build the core, then the extensions."""
        self.rebuild_if_flags_changed()
        objects = self.compile_core(core_files({p for ps in MODULES.values() for p in ps}))
        for extension in self.extensions:
            files = core_files(MODULES[extension.name.rpartition(".")[2]])
            extension.extra_objects = [objects[file] for file in files]
            extension.depends = [*files, *HEADERS, "setup.py"]
        super().build_extensions()

    def rebuild_if_flags_changed(self):
        """Time stamps do not know about the environment switches."""
        stamp = Path(self.build_temp, "flags.txt")
        flags = repr((COMPILE_FLAGS, CORE_FLAGS, LINK_FLAGS, os.environ.get("CC")))
        if not stamp.exists() or stamp.read_text() != flags:
            self.force = True
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(flags)

    def compile_core(self, files):
        """Return {C file: object file}, compiling what is older than its source or a header."""
        newest_header = max(os.path.getmtime(path) for path in [*HEADERS, "setup.py"])

        def compile_one(file):
            (target,) = self.compiler.object_filenames([file], output_dir=self.build_temp)
            newest = max(os.path.getmtime(file), newest_header)
            if self.force or not os.path.exists(target) or os.path.getmtime(target) < newest:
                self.compiler.compile(
                    [file],
                    output_dir=self.build_temp,
                    include_dirs=["csrc"],
                    extra_postargs=COMPILE_FLAGS + CORE_FLAGS,
                )
            return target

        with ThreadPoolExecutor(self.parallel) as pool:
            return dict(zip(files, pool.map(compile_one, files), strict=True))


extensions = [
    Extension(
        f"sutra.{module}",
        [f"sutra/{module}.pyx"],
        include_dirs=["csrc", numpy.get_include()],
        libraries=["m"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=COMPILE_FLAGS,
        extra_link_args=LINK_FLAGS,
    )
    for module in MODULES
]

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": BuildExtensions},
)
