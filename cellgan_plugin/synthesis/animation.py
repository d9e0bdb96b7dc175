"""Short films as GIF and MP4."""

import errno
import io
import os
import uuid
from pathlib import Path
from typing import List, Sequence, Union

import cv2
import numpy as np
from PIL import Image

from cellgan_plugin.files import atomic_write

_GAP = 2  # white pixels between images side by side


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """One frame (H, W, 3) of RGB or grey images (H, W, 1 or 3) of one size, left to right."""
    parts: List[np.ndarray] = []
    for image in images:
        if parts:
            parts.append(np.full((image.shape[0], _GAP, 3), 255, np.uint8))
        parts.append(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image)
    return np.concatenate(parts, axis=1)


def write_gif(path: Union[str, Path], frames: Sequence[np.ndarray], fps: float) -> Path:
    """Write an endless GIF (256 colours a frame), whole or not at all.

    Args:
        path (str | Path): The file.
        frames (Sequence[np.ndarray]): uint8 RGB (H, W, 3), all of one size.
        fps (float): Frames a second; the format counts in 1/100 s.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        'GIF',
        save_all=True,
        append_images=pictures[1:],
        duration=max(20, round(100 / fps) * 10),
        loop=0,
    )
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
    return Path(path)


def write_mp4(path: Union[str, Path], frames: Sequence[np.ndarray], fps: float) -> Path:
    """Write an MP4 (MPEG-4 part 2), whole or not at all.

    Args:
        path (str | Path): The file, ending in ``.mp4``.
        frames (Sequence[np.ndarray]): uint8 RGB (H, W, 3), all of one size; a white line is added
            where a side is odd, which the codec does not take.
        fps (float): Frames a second.

    Raises:
        ValueError: This OpenCV has no encoder for it, or the folder does not exist.
        OSError: Not all frames arrived in the file.
    """
    path = Path(path)
    height, width = frames[0].shape[:2]
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    # OpenCV writes by name, and knows the container by the name's end.
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:12]}.tmp.mp4')
    try:
        writer = cv2.VideoWriter(
            str(temporary),
            cv2.VideoWriter_fourcc(*'mp4v'),
            fps,
            (width + width % 2, height + height % 2),
        )
        try:
            if not writer.isOpened():
                raise ValueError(
                    f'{path}: this OpenCV cannot write MP4 here; leave it out (--formats png gif)'
                )
            for frame in frames:
                frame = np.pad(frame, pad, constant_values=255)
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        finally:
            writer.release()
        # A full disk goes unnoticed by the writer.
        if frame_count(temporary) != len(frames):
            raise OSError(errno.ENOSPC, 'not all frames of the film arrived', str(path))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def frame_count(path: Union[str, Path]) -> int:
    """Frames of a film as they can be read; 0 when it cannot be opened."""
    reader = cv2.VideoCapture(str(path))
    try:
        count = 0
        while reader.isOpened() and reader.grab():
            count += 1
        return count
    finally:
        reader.release()
