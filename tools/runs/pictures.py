"""Files of pictures, as the tools that draw take them. Without matplotlib, which is there only when all else proved good."""

from runs.messages import fail

SUFFIXES = (".png", ".pdf", ".svg")
FORMATS = ", ".join(SUFFIXES)


def check_name(option, path):
    if path.suffix.lower() not in SUFFIXES:
        fail(f"{option} {path}: a name that ends in {FORMATS} expected", 2)


def save(figure, path):
    from runs import drawing
    try:
        drawing.save(figure, path)
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}")
