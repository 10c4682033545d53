"""Reads printed pages: Tesseract's LSTM engine, behind the owner's own preparation of the image.

    ml_inference.py -m model/eng.traineddata -d /dataset/ -o /output/

Per page NAME it writes NAME.txt, NAME.json (words, boxes, confidences) and NAME.annotated.png.

This file stands for the owner's secret. Everything that the user may see goes to stdout, a line at a time;
the marker below lets tests prove that nothing else of it gets out: owner-secret-7c1e5a.
"""

import argparse
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path

# Read when the OpenMP runtime loads, so before tesserocr. One thread per page: more of them only wait for
# each other on pages of this size.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")

import tesserocr  # noqa: E402
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageSequence  # noqa: E402

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PIXELS = 40_000_000  # per page: an A3 sheet at 400 dpi, about 300 MB at the peak
MAX_FRAMES = 100  # per file: a TIFF can hold many pages
PAGE_TIMEOUT = 120_000  # milliseconds
SMALL_PAGE = 320  # pixels: pages whose longer side is below are enlarged
ASSUMED_DPI = 150  # what files claim is often wrong; too low a value breaks the search for columns

# The preparation that makes photographs of pages readable: brightness on a logarithmic scale less that of its
# surroundings takes uneven light away, and a cut of the extremes gives back the contrast.
SURROUNDINGS = 1 / 25  # radius, as a share of the longer side
PAPER = -20  # where the paper's grey ends up, below white
CUT = 1  # per cent of the pixels, at both ends
LOGARITHM = [round(255 * math.log1p(v) / math.log(256)) for v in range(256)]


class Unreadable(Exception):
    """A page that cannot be recognised; its text is for the user."""


def grey(image):
    """Eight bits of grey on white paper, upright."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda v: v * (1 / 256)).convert("L")
    elif image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("L")


def even_out(page):
    radius = max(page.size) * SURROUNDINGS
    surroundings = page.filter(ImageFilter.GaussianBlur(radius)).point(LOGARITHM)
    flat = ImageChops.add(page.point(LOGARITHM), ImageChops.invert(surroundings), offset=PAPER)
    return ImageOps.autocontrast(flat, cutoff=CUT)


def frames(path):
    """The pages of one image file, in grey."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if getattr(image, "n_frames", 1) > MAX_FRAMES:
                raise Unreadable(f"more than {MAX_FRAMES} pages in one file")
            for frame in ImageSequence.Iterator(image):
                if frame.width * frame.height > MAX_PIXELS:
                    raise Unreadable(f"larger than {MAX_PIXELS // 1_000_000} megapixels")
                yield grey(frame)
    except Unreadable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"larger than {MAX_PIXELS // 1_000_000} megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError):  # what Pillow raises for broken files
        raise Unreadable("not a whole PNG, JPEG or TIFF image") from None


def words_of(api, scale):
    iterator = api.GetIterator()
    if iterator is None:
        return []
    words = []
    level = tesserocr.RIL.WORD
    for word in tesserocr.iterate_level(iterator, level):
        if word.Empty(level):
            continue
        left, top, right, bottom = (round(edge / scale) for edge in word.BoundingBox(level))
        words.append({
            "text": word.GetUTF8Text(level),
            "box": [left, top, right - left, bottom - top],
            "confidence": round(word.Confidence(level) / 100, 4),
        })
    return words


def recognise(api, page):
    """The page's text and its words."""
    scale = 2 if max(page.size) < SMALL_PAGE else 1
    prepared = page.resize((page.width * scale, page.height * scale), Image.LANCZOS) if scale > 1 else page
    api.SetImage(even_out(prepared))
    api.SetSourceResolution(ASSUMED_DPI)
    if not api.Recognize(PAGE_TIMEOUT):
        raise Unreadable(f"not recognised within {PAGE_TIMEOUT // 1000} seconds")
    return api.GetUTF8Text(), words_of(api, scale)


def annotate(page, words):
    """The page with a box around each word: green where sure, amber where not, red where a guess."""
    picture = page.convert("RGB")
    draw = ImageDraw.Draw(picture)
    for word in words:
        x, y, width, height = word["box"]
        sure = word["confidence"]
        colour = (0, 150, 60) if sure >= 0.85 else (220, 140, 0) if sure >= 0.6 else (210, 30, 30)
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=colour)
    return picture


def process(api, page, name, output):
    started = time.monotonic()
    text, words = recognise(api, page)
    seconds = round(time.monotonic() - started, 3)
    mean = round(sum(word["confidence"] for word in words) / len(words), 4) if words else 0.0
    facts = {"page": name, "width": page.width, "height": page.height, "mean_confidence": mean,
             "seconds": seconds, "words": words}
    (output / f"{name}.txt").write_text(text, encoding="utf-8")
    (output / f"{name}.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n",
                                        encoding="utf-8", errors="backslashreplace")
    annotate(page, words).save(output / f"{name}.annotated.png")
    return len(words), mean, seconds


def names_of(paths):
    """What each file's results are called: its stem, or its whole name where two files share a stem."""
    stems = [path.stem for path in paths]
    return [path.stem if stems.count(path.stem) == 1 else path.name for path in paths]


def run(api, dataset, output):
    paths = sorted(path for path in dataset.iterdir()
                   if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file())
    done = failed = total_words = 0
    started = time.monotonic()
    for path, name in zip(paths, names_of(paths)):
        try:
            for number, page in enumerate(frames(path), start=1):
                count, mean, seconds = process(api, page, name if number == 1 else f"{name}-{number}", output)
                where = path.name if number == 1 else f"{path.name}, page {number}"
                print(f"{where}: {count} words, mean confidence {mean:.0%}, {seconds:.2f} s", flush=True)
                done += 1
                total_words += count
        except Unreadable as problem:
            print(f"{path.name}: cannot be read: {problem}", flush=True)
            failed += 1
        except MemoryError:
            print(f"{path.name}: cannot be read: not enough memory", flush=True)
            failed += 1
        except OSError as problem:
            print(f"{path.name}: results cannot be written: {problem.strerror}", flush=True)
            failed += 1
    took = time.monotonic() - started
    print(f"{done} {'page' if done == 1 else 'pages'}, {total_words} words, {took:.2f} s, {failed} failed", flush=True)
    if not paths:
        print("no PNG, JPEG or TIFF image in the dataset", flush=True)
    return 1 if failed or not paths else 0


def main():
    parser = argparse.ArgumentParser(prog="ml_inference.py", description="Recognises the text of pages.")
    parser.add_argument("-m", "--model", type=Path, required=True, help="LANGUAGE.traineddata")
    parser.add_argument("-d", "--dataset", type=Path, required=True, help="directory of the pages")
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory for the results")
    options = parser.parse_args()

    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    if options.model.suffix != ".traineddata" or not options.model.is_file():
        print(f"no such model: {options.model}", flush=True)
        return 1
    if not options.dataset.is_dir() or not options.output.is_dir():
        print("dataset and output must be directories", flush=True)
        return 1
    try:
        api = tesserocr.PyTessBaseAPI(path=f"{options.model.parent.resolve()}/", lang=options.model.stem,
                                      psm=tesserocr.PSM.AUTO, oem=tesserocr.OEM.LSTM_ONLY)
    except RuntimeError:
        print(f"the model cannot be loaded: {options.model}", flush=True)
        return 1
    with api:
        return run(api, options.dataset, options.output)


if __name__ == "__main__":
    sys.exit(main())
