"""What a client can do without a pipeline: see the modules, load a pipeline, ask for the cap."""

from __future__ import annotations

import os

from krixik_async import _catalogue, _description, _wire
from krixik_async._arguments import names_checked
from krixik_async._models import CapResult
from krixik_async._pipeline import Pipeline
from krixik_async._reply import JSON
from krixik_async._session import Session


@names_checked
class Account:
    """Be the part of `Krixik` that knows the modules and speaks for the account as a whole."""

    _session: Session | None = None

    @property
    def _opened(self) -> Session:
        assert self._session is not None
        return self._session

    @property
    def available_modules(self) -> list[str]:
        """Give the names of all modules that a chain may hold."""
        return list(_catalogue.MODULES)

    @staticmethod
    def view_module_config(*, module_name: str) -> dict[str, JSON]:
        """Give a module's models, parameters and formats, with an example of each format.

        Raises InvalidArgument with the nearest name. Sends nothing.
        """
        return _description.module_view(_description.check_module_name(module_name))

    @staticmethod
    def view_module_click_data(*, module_name: str) -> dict[str, JSON]:
        """Give what decides which modules fit before and after a module.

        Raises InvalidArgument with the nearest name. Sends nothing.
        """
        return _description.module_click_data(_description.check_module_name(module_name))

    async def load_pipeline(self, *, config_path: str | os.PathLike[str]) -> Pipeline:
        """Make the pipeline that a .yml file describes, written by `Pipeline.save_pipeline`.

        The official client's files are read too: only the name and the modules' names count.
        Raises InvalidArgument saying what the file lacks, and MissingExtra without
        `pip install "krixik-async[yaml]"`. Sends nothing. Idempotent, cancel-safe.
        """
        name, chain = await self._opened.offload(_description.read_pipeline_file, config_path)
        return Pipeline(self._opened, name, chain)

    async def check_cap(self) -> CapResult:
        """Ask the service what is left of the account's allowance.

        What it answers is not documented: read `.message` and `.raw`. Idempotent, cancel-safe.
        """
        return await self._opened.transport.call(_wire.CheckCap(), _wire.read_cap)
