"""How often the perceptual hash misses copies, and how often it takes different images for copies.

python tools/benchmarks/near_duplicates.py DIR [--images 600]

DIR: class folders of real images without copies among them. The tool makes copies of every image,
as a generator's folder may contain them, each in one of the eight views, and searches them like the
benchmark's leak check. Then it compares every image with every other one in all views.
"""

from typing import Callable, Dict

import cv2
import numpy as np
import torch

from cellgan_plugin.datasets.file_names import PassedOver, walk_images
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.perceptual_hash import NEAR, nearest_by_hash, perceptual_hash
from cellgan_plugin.datasets.views import ALL_VIEWS, apply_view
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.command_line import ToolParser, user_errors


def jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """Save and read again."""

    def change(image: np.ndarray) -> np.ndarray:
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    return change


def resize(scale: float) -> Callable[[np.ndarray], np.ndarray]:
    """Resize by a factor."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return lambda image: cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)


CHANGES: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'as it is': lambda image: image,
    'JPEG, quality 75': jpeg(75),
    'JPEG, quality 50': jpeg(50),
    'resized by 1/2': resize(0.5),
    'resized by 1.3': resize(1.3),
    'resized by 2': resize(2),
    'resized by 0.7, JPEG 75': lambda image: jpeg(75)(resize(0.7)(image)),
    'brighter (x 1.1, + 10)': lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=10),
    '2 % cut off at one side': lambda image: image[max(1, image.shape[0] // 50) :],
}


def in_some_view(image: np.ndarray, index: int) -> np.ndarray:
    """One of the eight views, by lot."""
    view = ALL_VIEWS[int(rng_for(0, 'near_duplicates', index).integers(8))]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    return apply_view(pixels, view).permute(1, 2, 0).contiguous().numpy()


def main() -> None:
    parser = ToolParser(__doc__)
    parser.add_argument('folder', help='class folders of real images')
    parser.add_argument(
        '--images', type=int, default=600, help='number of images to draw from the folder'
    )
    args = parser.parse_args()
    with user_errors():
        files = [f'{args.folder}/{file}' for file in walk_images(args.folder, PassedOver())]
        order = rng_for(0, 'near_duplicates').permutation(len(files))[: args.images]
        images = [load_image(files[i]) for i in order]
        hashes = np.stack([np.frombuffer(perceptual_hash(i), np.uint8) for i in images])
        print(f'{len(images)} images; near: up to {NEAR} of 255 bits differ, in any of 8 views')
        print(f'{"copy":26}{"found":>8}{"most bits":>11}')
        for name, change in CHANGES.items():
            copies = [in_some_view(change(image), i) for i, image in enumerate(images)]
            found = np.stack([np.frombuffer(perceptual_hash(i), np.uint8) for i in copies])
            bits = [
                nearest_by_hash(found[i, None], hashes[i, None])[1][0] for i in range(len(found))
            ]
            print(f'{name:26}{np.mean(np.array(bits) <= NEAR):8.2%}{max(bits):11d}')
        least = []
        for index in range(len(images)):  # each against all others
            others = np.delete(hashes, index, axis=0)
            least.append(int(nearest_by_hash(hashes[index, None], others)[1][0]))
        pairs = len(images) * (len(images) - 1) // 2
        print(
            f'{pairs} pairs of different images: nearest {min(least)} bits; '
            f'{np.mean(np.array(least) <= NEAR):.2%} of the images have another one near'
        )


if __name__ == '__main__':
    main()
