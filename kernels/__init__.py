"""C micro-kernels over a small vector layer, and what the compiler must know about them."""

from .packing import pack_bias, pack_conv, pack_depthwise, pack_depthwise_bias, pack_matmul
from .sources import headers, needed, read
from .table import ISAS, KERNELS, Blocks, Isa, Kernel, Tile, choose_blocks, choose_tile, get_isa

__all__ = [
    "ISAS",
    "KERNELS",
    "Blocks",
    "Isa",
    "Kernel",
    "Tile",
    "choose_blocks",
    "choose_tile",
    "get_isa",
    "headers",
    "needed",
    "pack_bias",
    "pack_conv",
    "pack_depthwise",
    "pack_depthwise_bias",
    "pack_matmul",
    "read",
]
