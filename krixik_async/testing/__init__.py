"""Tools for testing code that uses krixik_async: a product with the client's own promises."""

from krixik_async.testing._simulate import Simulation, simulate
from krixik_async.testing._virtual_time import VirtualTimeLoop

__all__ = ["Simulation", "VirtualTimeLoop", "simulate"]
