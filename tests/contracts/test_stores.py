from pathlib import Path

from fermion.core.store import Folder, Store
from fermion.testing.stores import StoreContract


class TestFolder(StoreContract):
    def open(self, folder: Path) -> Store:
        return Folder(folder)
