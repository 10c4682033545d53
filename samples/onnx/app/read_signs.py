"""Reads what stands on photographs, with the neural networks of RapidOCR in ONNX Runtime.

    read_signs.py -d /dataset/ -o /output/

Three networks, all in the package: one finds text, one turns it upright, one reads it. Per picture NAME it writes
NAME.json (lines, corners, confidences) and NAME.found.png.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw
from rapidocr_onnxruntime import RapidOCR

SUFFIXES = {".png", ".jpg", ".jpeg"}


def read(engine, path):
    found, _ = engine(str(path))
    return [{"text": text, "confidence": round(float(sure), 3), "corners": [[round(x), round(y)] for x, y in corners]}
            for corners, text, sure in found or []]


def annotate(path, lines, target):
    with Image.open(path) as image:
        picture = image.convert("RGB")
    draw = ImageDraw.Draw(picture)
    for line in lines:
        draw.polygon([tuple(corner) for corner in line["corners"]], outline=(0, 150, 60), width=2)
    picture.save(target)


def main():
    parser = argparse.ArgumentParser(prog="read_signs.py")
    parser.add_argument("-d", "--dataset", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    pictures = sorted(path for path in options.dataset.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        print("no PNG or JPEG in the dataset")
        return 1
    started = time.monotonic()
    engine = RapidOCR(intra_op_num_threads=2, inter_op_num_threads=1)
    print(f"three networks loaded, {time.monotonic() - started:.1f} s", flush=True)
    for path in pictures:
        started = time.monotonic()
        lines = read(engine, path)
        (options.output / f"{path.stem}.json").write_text(json.dumps(lines, ensure_ascii=False, indent=1) + "\n")
        annotate(path, lines, options.output / f"{path.stem}.found.png")
        print(f"{path.name}: {len(lines)} lines, {time.monotonic() - started:.1f} s", flush=True)
        for line in lines:
            print(f"  {line['confidence']:.2f}  {line['text']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
