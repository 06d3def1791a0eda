#!/usr/bin/env python3
"""Makes the JPEG files of this folder, with Pillow: 16 x 16 pixels of four flat 8 x 8 blocks, which survive compression.

Their colours: red, green; blue, grey (as luminance where the file is grey).
"""

from pathlib import Path

from PIL import Image

BLOCKS = [[(200, 40, 40), (40, 180, 60)], [(30, 60, 220), (128, 128, 128)]]

picture = Image.new("RGB", (16, 16))
for y in range(16):
    for x in range(16):
        picture.putpixel((x, y), BLOCKS[y // 8][x // 8])

folder = Path(__file__).resolve().parent
options = {"quality": 95, "subsampling": 0}
picture.save(folder / "colour.jpg", **options)
picture.save(folder / "progressive.jpg", progressive=True, **options)
picture.convert("L").save(folder / "grey.jpg", quality=95)
picture.convert("CMYK").save(folder / "cmyk.jpg", **options)
