"""caption: one sentence on what an image shows, by a model that reads images and writes text.

The catalogue's four models are of three kinds (a vision encoder with GPT-2, GIT, BLIP); the
library knows from a model's configuration which it is.
"""

from __future__ import annotations

from pathlib import Path

from krixik_async.server.runners._entries import write_entries
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._shelf import Foreign, borrowed, load_transformer
from krixik_async.server.runners._weights import weights_of

__all__ = ["run"]

_CLASSES = ("AutoModelForImageTextToText", "AutoImageProcessor", "AutoTokenizer")
# Far more than a caption has; a model left to itself ends earlier.
_MOST_TOKENS = 50


def run(request: RunRequest) -> dict[str, object]:
    """Write a list of one object with the caption; `num_lines` is 1.

    Raises:
        RunnerError: no image that can be read; weights that are not here, or of another kind.
    """
    image = _read_image(request.source)
    with borrowed(load_transformer, weights_of(request), *_CLASSES) as loaded:
        caption = _caption(image, *loaded)
    return {"num_lines": write_entries([{"caption": caption}], request.destination)}


def _read_image(source: Path) -> Foreign:
    from PIL import Image

    try:
        with Image.open(source) as image:
            return image.convert("RGB")
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise RunnerError("the input is not an image that can be read") from error


def _caption(image: Foreign, model: Foreign, processor: Foreign, tokenizer: Foreign) -> str:
    import torch

    pixels = processor(images=image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        made = model.eval().generate(
            pixel_values=pixels, do_sample=False, max_new_tokens=_MOST_TOKENS
        )
    return str(tokenizer.decode(made[0], skip_special_tokens=True)).strip()
