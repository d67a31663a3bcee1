"""The files of the migrations: all of them as Alembic loads them, and one by itself."""

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from alembic.script import ScriptDirectory

_FOLDER: Final = Path(__file__).parent


def scripts() -> ScriptDirectory:
    return _scripts(_FOLDER)


@cache
def _scripts(folder: Path) -> ScriptDirectory:
    """All migrations, loaded once. `alembic upgrade` loads them all for each step, which takes longer than the step."""
    return ScriptDirectory(folder)


def module_of(revision: str) -> ModuleType:
    [file] = (_FOLDER / "versions").glob(f"r{revision}_*.py")
    spec = spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
