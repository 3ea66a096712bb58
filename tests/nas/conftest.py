"""Worker processes that begin at once."""

import pytest


@pytest.fixture(autouse=True)
def _quick(quick_workers: None) -> None:
    """That workers can be interpreters of their own is tested elsewhere."""
