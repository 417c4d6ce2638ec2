"""What modules and pipelines are, as data and as YAML: the official client's shapes.

A pipeline file holds `pipeline: {name, modules: [...]}`; the modules' models, defaults and formats
are written for people, only the names are read back. The same file is read by both clients.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from krixik_async._catalogue import (
    EXTENSIONS,
    MODULES,
    Format,
    Module,
    check_chain,
    check_pipeline_name,
    nearest,
)
from krixik_async._errors import InvalidArgument, InvalidArgumentType, MissingExtra
from krixik_async._reply import JSON

PIPELINE_FILE_BYTES = 1_000_000
PIPELINE_FILE_EXTENSIONS = (".yml", ".yaml")

# What the official client (1.1.19, read 2026-11) shows of parameters and of the process key types.
_PARAMS: Mapping[str, dict[str, JSON]] = {
    "fixed": {
        "chunk_size": {"type": "int", "default": 10},
        "overlap_size": {"type": "int", "default": 4},
    },
}
_QUANTIZE: dict[str, JSON] = {"quantize": {"type": "bool", "default": True}}
# Our table has each module's default first; the official files have one exception.
_DEFAULT_SHOWN_SECOND = "translate"
_TEXT_TYPE, _ARRAY_TYPE = "<class 'str'>", "<class 'numpy.ndarray'>"


def check_module_name(module_name: object) -> Module:
    """Give the module. Raises InvalidArgument with the nearest name, InvalidArgumentType."""
    if not isinstance(module_name, str):
        raise InvalidArgumentType(
            f"module_name is {type(module_name).__name__} but must be one of: {', '.join(MODULES)}"
        )
    if module_name not in MODULES:
        raise InvalidArgument(
            f"module_name is {module_name!r}, which is no module."
            f"{nearest(module_name, MODULES)} There are: {', '.join(MODULES)}"
        )
    return MODULES[module_name]


def module_config(module: Module) -> dict[str, JSON]:
    """Give one module's models, formats and defaults: the heart of `view_module_config`."""
    return {
        "module": {
            "name": module.name,
            "models": _models(module),
            "input": {"type": module.takes},
            "output": {"type": module.gives},
            "defaults": _defaults(module),
        }
    }


def module_view(module: Module) -> dict[str, JSON]:
    """Give the config with an example of what goes in and out, as `view_module_config` does."""
    return {
        "module_config": module_config(module),
        "input_data_example": _example(module.takes, module.key_in),
        "output_data_example": _example(module.gives, module.key_out),
    }


def _example(kind: Format, key: str | None) -> JSON:
    """Give one entry of a format, or None where only a file shows it."""
    if kind == "text":
        return "Call me Ishmael. Some years ago I went to sea."
    if kind != "json" or key is None:
        return None
    example: dict[str, JSON] = {key: "Call me Ishmael."}
    if key == "snippet":
        example["line_numbers"] = [1]
    return example


def module_click_data(module: Module) -> dict[str, JSON]:
    """Give what decides which modules fit, as `view_module_click_data` shows it."""
    return {
        "module_name": module.name,
        "input_format": module.takes,
        "output_format": module.gives,
        "input_process_key": module.key_in,
        "input_process_type": _key_type(module.key_in),
        "output_process_key": module.key_out,
        "output_process_type": _key_type(module.key_out),
    }


def _key_type(key: str | None) -> str | None:
    if key is None:
        return None
    return _ARRAY_TYPE if key == "data" else _TEXT_TYPE


def _models(module: Module) -> list[JSON]:
    models: list[JSON] = []
    names = list(module.models)
    if module.name == _DEFAULT_SHOWN_SECOND:
        names[:2] = names[1::-1]
    for name in names:
        params = _QUANTIZE if module.name == "text-embedder" else _PARAMS.get(name)
        # Fresh dicts: what is handed out may be changed without poisoning the next caller's.
        shown: dict[str, JSON] = {"name": name}
        if params is not None:
            shown["params"] = {
                key: dict(spec) for key, spec in params.items() if isinstance(spec, dict)
            }
        models.append(shown)
    return models


def _defaults(module: Module) -> dict[str, JSON]:
    defaults: dict[str, JSON] = {"model": module.models[0]}
    if module.name == "text-embedder":
        defaults["params"] = {"quantize": True}
    return defaults


def pipeline_config(name: str, chain: Sequence[str]) -> dict[str, JSON]:
    """Give the whole pipeline as `pipeline.config` shows it and a pipeline file holds it."""
    modules: list[JSON] = [
        {
            "name": module.name,
            "models": _models(module),
            "defaults": _defaults(module),
            "input": {
                "type": module.takes,
                "permitted_extensions": list(EXTENSIONS[module.takes]),
            },
            "output": {"type": module.gives},
        }
        for module in (MODULES[name] for name in chain)
    ]
    return {"pipeline": {"name": name, "modules": modules}}


# --- pipeline files --------------------------------------------------------------------------


def write_pipeline_file(config: dict[str, JSON], config_path: object) -> None:
    """Write the config as YAML (blocking, small): to a temporary name, then renamed."""
    path = _check_path(config_path)
    temporary = path.with_name(f".{path.name}.krixik-part")
    try:
        temporary.write_text(
            _yaml().safe_dump(
                config, sort_keys=False, default_flow_style=False, allow_unicode=True
            ),
            encoding="utf-8",
        )
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidArgument(
            f"config_path {str(path)!r} cannot be written: {error.strerror}"
        ) from error


def read_pipeline_file(config_path: object) -> tuple[str, tuple[str, ...]]:
    """Give (name, chain) of a pipeline file (blocking, at most 1 MB).

    Raises InvalidArgument saying what the file lacks, or which modules do not fit.
    """
    path = _check_path(config_path)
    what = f"config_path {str(path)!r}"
    try:
        with path.open("rb") as file:
            content = file.read(PIPELINE_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidArgument(f"{what} cannot be read: {error.strerror}") from error
    if len(content) > PIPELINE_FILE_BYTES:
        raise InvalidArgument(
            f"{what} is larger than {PIPELINE_FILE_BYTES} bytes: it must hold one pipeline only"
        )
    yaml = _yaml()
    try:
        parsed: Any = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what} is not YAML: {type(error).__name__}") from error
    pipeline = _part(what, parsed, "pipeline")
    name = _part(what, pipeline, "name")
    modules = _part(what, pipeline, "modules")
    if not isinstance(modules, list):
        raise InvalidArgument(f"{what}: 'modules' must be a list, each with a 'name'")
    chain = [_part(what, module, "name") for module in modules]
    return check_pipeline_name(name), check_chain(chain)


def _part(what: str, whole: object, key: str) -> object:
    if not isinstance(whole, Mapping) or key not in whole:
        raise InvalidArgument(
            f"{what} has no {key!r} where one is needed: it must hold "
            "pipeline: {name: ..., modules: [{name: ...}, ...]}, as save_pipeline() writes it"
        )
    part: object = whole[key]
    return part


def _check_path(config_path: object) -> Path:
    if not isinstance(config_path, str | os.PathLike):
        raise InvalidArgumentType(
            f"config_path is {type(config_path).__name__} but must be the path of a .yml file"
        )
    path = Path(config_path)
    if path.suffix.lower() not in PIPELINE_FILE_EXTENSIONS:
        raise InvalidArgument(
            f"config_path {str(path)!r} must end in {' or '.join(PIPELINE_FILE_EXTENSIONS)}"
        )
    return path


def _yaml() -> Any:  # noqa: ANN401 - a module that may be missing
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtra(
            'pipeline files need PyYAML: pip install "krixik-async[yaml]"'
        ) from error
    return yaml
