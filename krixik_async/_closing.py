"""What has to be closed: `aclose()`, and with it an async context manager."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import Self


class Closing:
    """Be closed by `aclose()`, or by leaving an `async with`; entering does nothing.

    No scope is held between the two: it may be opened in one task and closed in another.
    """

    @abstractmethod
    async def aclose(self) -> None:
        """End what is under way. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
