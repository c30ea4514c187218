"""`Readout`: how the channels of a detector lie in the raw frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Corner = Literal["lower_left", "lower_right", "upper_left", "upper_right"]
"""Corner of a channel at which its amplifier sits."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where one channel lies in the raw frame and in the active image."""

    index: int
    """Number from 0, row by row from the lower left; index into per-channel gains."""
    raw: tuple[slice, slice]
    """Active pixels in the raw frame (rows, columns)."""
    overscan: tuple[slice, slice]
    """Serial overscan beside the active rows in the raw frame; empty if there is none."""
    leftwards: bool
    """Whether the overscan lies to the left of the active columns (amplifier at the right)."""
    raw_overscan_rows: tuple[slice, slice]
    """Parallel overscan over the active columns in the raw frame; empty if there is none."""
    active: tuple[slice, slice]
    """The channel's pixels in the assembled image."""
    block: tuple[slice, slice]
    """All of the channel in the raw frame: prescan, active and overscan."""
    read_order: tuple[slice, slice]
    """Turns a view of the block or of the active pixels so that the pixel at the amplifier
    comes first: ``raw[channel.block][channel.read_order]``."""


@dataclass(frozen=True)
class Readout:
    """Geometry of a raw frame: a grid of equal channels, each with its own amplifier.

    A channel occupies one block of the raw frame, at its place on the sky. In the direction
    of reading, a row of a block is prescan, active, overscan columns, starting at the
    amplifier's side; the block's prescan rows lie on that side too, its parallel overscan rows
    on the side away from the amplifier. Blocks are as on the sky: no channel is mirrored in the
    raw frame.
    """

    channel_columns: int
    """Active columns of a channel."""
    channel_rows: int
    """Active rows of a channel."""
    channels_x: int = 8
    channels_y: int = 2
    prescan_columns: int = 0
    """Columns read before the first active one (of every channel)."""
    overscan_columns: int = 0
    """Columns read after the last active one."""
    overscan_rows: int = 0
    """Rows read after the last active one."""
    prescan_rows: int = 0
    """Rows read before the first active one, such as dark reference rows."""
    corners: tuple[Corner, ...] = ()
    """Amplifier's corner of each channel, row by row from the lower left. Default: the one
    towards the nearest corner of the frame (lower left if it lies in the middle)."""
    saturation_adu: int = 65535
    """Raw values from this on are saturated."""

    def __post_init__(self) -> None:
        for name in ("channel_columns", "channel_rows", "channels_x", "channels_y"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name in ("prescan_columns", "overscan_columns", "overscan_rows", "prescan_rows"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.corners and len(self.corners) != self.channels:
            raise ValueError(
                f"corners has {len(self.corners)} entries; expected {self.channels}, one a channel"
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.channels_x * self.channels_y

    @property
    def raw_shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the raw frame."""
        rows, columns = self._block_shape
        return rows * self.channels_y, columns * self.channels_x

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (rows, columns) of the assembled active image."""
        return self.channel_rows * self.channels_y, self.channel_columns * self.channels_x

    @property
    def _block_shape(self) -> tuple[int, int]:
        return (
            self.prescan_rows + self.channel_rows + self.overscan_rows,
            self.prescan_columns + self.channel_columns + self.overscan_columns,
        )

    def corner(self, index: int) -> Corner:
        """Return the amplifier's corner of channel `index`."""
        if self.corners:
            return self.corners[index]
        row, column = divmod(index, self.channels_x)
        if 2 * row + 1 > self.channels_y:
            return "upper_right" if 2 * column + 1 > self.channels_x else "upper_left"
        return "lower_right" if 2 * column + 1 > self.channels_x else "lower_left"

    def __iter__(self) -> Iterator[Channel]:
        """Iterate over the channels, row by row from the lower left."""
        return (self._channel(index) for index in range(self.channels))

    def _channel(self, index: int) -> Channel:
        row, column = divmod(index, self.channels_x)
        corner = self.corner(index)
        block_rows, block_columns = self._block_shape
        x, y = column * block_columns, row * block_rows
        if corner.endswith("left"):
            x_active = x + self.prescan_columns
            x_overscan = x_active + self.channel_columns
        else:
            x_overscan = x
            x_active = x + self.overscan_columns
        if corner.startswith("lower"):
            y_active = y + self.prescan_rows
            y_overscan = y_active + self.channel_rows
        else:
            y_active, y_overscan = y + self.overscan_rows, y
        rows = slice(y_active, y_active + self.channel_rows)
        columns = slice(x_active, x_active + self.channel_columns)
        return Channel(
            index=index,
            leftwards=corner.endswith("right"),
            raw=(rows, columns),
            overscan=(rows, slice(x_overscan, x_overscan + self.overscan_columns)),
            raw_overscan_rows=(slice(y_overscan, y_overscan + self.overscan_rows), columns),
            active=(
                slice(row * self.channel_rows, (row + 1) * self.channel_rows),
                slice(column * self.channel_columns, (column + 1) * self.channel_columns),
            ),
            block=(slice(y, y + block_rows), slice(x, x + block_columns)),
            read_order=(
                slice(None, None, 1 if corner.startswith("lower") else -1),
                slice(None, None, 1 if corner.endswith("left") else -1),
            ),
        )
