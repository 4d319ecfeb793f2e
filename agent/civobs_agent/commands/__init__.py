"""The agent's commands, one file each: ``register`` describes it, and what it needs is imported when it runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names it no other way
else:
    Commands = object
