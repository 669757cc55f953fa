"""Where an unknown key was meant to stand: under a name like it, inside another object, or one object further out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from service.contract import Applicant
from service.web.naming import nearest

_WRAPPERS: Final = ("applicant", "applicants")


def hint(key: str, model: type[BaseModel], path: Sequence[int | str]) -> str:
    """What to say after a key that the object at `path` of `model` does not know, or nothing; never the key itself."""
    here = _model_at(model, path)
    if here is None:
        return ""
    if name := nearest(key, here.model_fields):
        return f"; did you mean {name}?"
    for place, inside in _inside(here):
        if nearest(key, inside.model_fields):
            return f"; it belongs in {''.join(f'/{part}' for part in path)}{place}"
    if here is Applicant and nearest(key, _WRAPPERS):
        return "; the fields of an applicant stand here, not under a key of their own"
    return ""


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel] | None:
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = next(_models(field.annotation, ""), None) if field else None
        if inner is None:
            return None
        model = inner[1]
    return model


@cache
def _inside(model: type[BaseModel]) -> tuple[tuple[str, type[BaseModel]], ...]:
    """The objects directly inside an object, each by its pointer; of a list, the first."""
    return tuple(each for name, field in model.model_fields.items() for each in _models(field.annotation, f"/{name}"))


def _models(annotation: Any, place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield place, annotation
    for inner in get_args(annotation):
        yield from _models(inner, f"{place}/0" if get_origin(annotation) is list else place)
