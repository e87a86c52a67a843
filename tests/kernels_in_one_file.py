"""All kernels of a graph in one C++ file: what they include takes a compiler longest.

Each is compiled from the source that Inductor wrote for it, with Inductor's flags.
"""

import re

import pytest
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.codecache import CppPythonBindingsCodeCache, LambdaFuture

HEADER = re.compile(r"^#include .*$", re.MULTILINE)
BEGIN = re.compile(r'extern "C"\s+void\s+kernel\(')


class Graph:
    """What Inductor wants compiled for a graph: sources and the types of their arguments, compiled at the first use."""

    def __init__(self):
        self.sources, self.argtypes, self.function = [], [], None

    def add(self, argtypes, source):
        """Returns a function that returns the kernel, to be called when all have been added."""
        number = len(self.sources)
        self.sources.append(source)
        self.argtypes.append(argtypes)

        def kernel():
            if self.function is None:
                self.function = self.compiled()
            function, padding = self.function, (None,) * (self.longest() - len(argtypes))
            return lambda *arguments: function(number, *arguments, *padding)

        return kernel

    def longest(self):
        return max(map(len, self.argtypes))

    def compiled(self):
        """A function of a kernel's number and its arguments, filled up to as many as the longest has."""
        headers = dict.fromkeys(header for source in self.sources for header in HEADER.findall(source))
        parts, calls = [*headers], []
        for number, (source, argtypes) in enumerate(zip(self.sources, self.argtypes, strict=True)):
            body = BEGIN.sub(f'extern "C" void kernel{number}(', HEADER.sub("", source))
            parts.append(f"namespace of_kernel{number} {{\n{body}\n}}")
            arguments = ", ".join(
                f"parse_arg<{argtype.replace('const ', '')}>(args, {position})"
                for position, argtype in enumerate(argtypes, start=1)
            )
            calls.append(f"case {number}: of_kernel{number}::kernel{number}({arguments}); Py_RETURN_NONE;")
        switch = f"switch (parse_arg<int64_t>(args, 0)) {{ {' '.join(calls)} }} Py_RETURN_NONE;"
        escaped = switch.replace("{", "{{").replace("}", "}}")
        cache = type("OneFile", (CppPythonBindingsCodeCache,), {"call_entry_function": escaped})
        return cache.load_pybinding(["int64_t"] * (1 + self.longest()), "\n".join(parts))


@pytest.fixture(scope="session", autouse=True)
def one_file_for_the_kernels_of_a_graph():
    apart, wait = AsyncCompile.cpp_pybinding, AsyncCompile.wait

    def cpp_pybinding(self, argtypes, source_code):
        if len(BEGIN.findall(source_code)) != 1:
            return apart(self, argtypes, source_code)
        graph = self.__dict__.setdefault("kernels_in_one_file", Graph())
        return LambdaFuture(graph.add(argtypes, source_code))

    def wait_for_all(self, scope):
        scope.update({name: value.result() for name, value in scope.items() if isinstance(value, LambdaFuture)})
        return wait(self, scope)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(AsyncCompile, "cpp_pybinding", cpp_pybinding)
        monkeypatch.setattr(AsyncCompile, "wait", wait_for_all)
        yield
