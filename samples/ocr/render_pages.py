"""Draws the sample's own pages from the lines in expected_words.json: letter.png and ledger.jpg."""

import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
FONTS = Path("/usr/share/fonts/truetype/dejavu")  # Debian's fonts-dejavu-core
PAPER = 250
INK = 25


def draw(lines, font_name, size, width):
    """Black lines on white paper; the first one larger, as a heading."""
    text = ImageFont.truetype(str(FONTS / font_name), size)
    heading = ImageFont.truetype(str(FONTS / font_name), size * 3 // 2)
    margin, step = size * 4, size * 8 // 5
    page = Image.new("L", (width, 2 * margin + step * (len(lines) + 1)), PAPER)
    pen = ImageDraw.Draw(page)
    y = margin
    for number, line in enumerate(lines):
        pen.text((margin, y), line, fill=INK, font=heading if number == 0 else text)
        y += step * 2 if number == 0 else step
    return page


def worsen(page):
    """What a hand-held camera does: a tilt, light from one side, grain. The same every time."""
    page = page.rotate(1.3, resample=Image.BICUBIC, fillcolor=PAPER)
    shade = Image.linear_gradient("L").rotate(90).resize(page.size).point(lambda v: 255 - v * 110 // 255)
    page = ImageChops.multiply(page, shade)
    grain = Image.frombytes("L", page.size, random.Random(7).randbytes(page.width * page.height))
    grain = grain.point(lambda v: v * 40 // 255)
    return ImageChops.subtract(ImageChops.add(page, grain), Image.new("L", page.size, 20))


def main():
    target = Path(sys.argv[1])
    known = json.loads((HERE / "expected_words.json").read_text(encoding="utf-8"))
    draw(known["letter"]["lines"], "DejaVuSerif.ttf", 25, 1240).save(target / "letter.png", dpi=(150, 150))
    worsen(draw(known["ledger"]["lines"], "DejaVuSans.ttf", 22, 1100)).save(target / "ledger.jpg", quality=80)


if __name__ == "__main__":
    main()
