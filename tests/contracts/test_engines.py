from fermion.core.engine import Inline, Processes
from fermion.testing.engines import EngineContract


class TestInline(EngineContract):
    engine = Inline()


class TestProcesses(EngineContract):
    engine = Processes(workers=2)


class TestOneProcess(EngineContract):
    engine = Processes(workers=1)
