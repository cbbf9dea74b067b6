from types import ModuleType

from torch import Tensor

def read(
    tensor: Tensor,
    channel_axis: int | None,
    rows: Tensor,
    column: int,
    histogram: Tensor | None,
    /,
) -> bool: ...
def read_at(
    tensor: Tensor,
    channel_axis: int | None,
    address_of_column: int,
    row_stride: int,
    rows: int,
    channels: int,
    histogram_address: int,
    /,
) -> bool: ...
def totals_at(
    address_of_rows: int,
    columns: int,
    address_of_sizes: int,
    tensors: int,
    address_of_totals: int,
    /,
) -> None: ...
def connect(torch: ModuleType, use_table: bool, /) -> bool: ...
def choose_instruction_set(name: str | None, /) -> bool: ...
def instruction_set() -> str: ...
