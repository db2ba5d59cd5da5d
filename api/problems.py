"""Errors as RFC 9457 problems: the handlers' own, the framework's, and unforeseen ones."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from federation.wire import InvalidParameter, Problem
from store.database import DatabaseRefused

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


def problem(status: int, kind: str, title: str, detail: str, errors: list[InvalidParameter] | None = None) -> Problem:
    """A problem of this API. `kind` is the last part of its type."""
    return Problem(type=f"urn:sistercity:problem:{kind}", title=title, status=status, detail=detail, errors=errors)


UNFORESEEN = Problem(title="Internal Server Error", status=500)
"""It says nothing of the inside: the server's log has the rest."""
UNAVAILABLE = problem(503, "unavailable", "Try again later", "The node's database did not answer.")


class ApiProblem(Exception):
    """An error that a handler raises to answer with a problem. `kind` is the last part of the problem's type."""

    def __init__(self, status: int, kind: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem(status, kind, title, detail)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response that caches must not keep."""
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""

    @app.exception_handler(ApiProblem)
    def of_a_handler(_: Request, error: ApiProblem) -> Response:
        return answer(error.problem)

    @app.exception_handler(RequestValidationError)
    def of_parameters(_: Request, error: RequestValidationError) -> Response:
        return answer(_invalid(error))

    @app.exception_handler(HTTPException)
    def of_the_framework(_: Request, error: HTTPException) -> Response:
        title = HTTPStatus(error.status_code).phrase
        return answer(Problem(title=title, status=error.status_code), error.headers)

    @app.exception_handler(DatabaseRefused)
    @app.exception_handler(psycopg.OperationalError)
    def of_the_database(_: Request, error: Exception) -> Response:
        log.warning("the database did not answer: %s", error)
        return answer(UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})

    @app.exception_handler(Exception)
    def unforeseen(_: Request, error: Exception) -> Response:
        return answer(UNFORESEEN)


def refusal(request: Request, error: Exception) -> Response:
    """The answer of the request's app to an error that it foresees. Raises every other error again."""
    for kind in type(error).__mro__:
        if kind is not Exception and (handle := request.app.exception_handlers.get(kind)) is not None:
            refused: Response = handle(request, error)
            return refused
    raise error


def documented(*cases: tuple[int, str, Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for these (status, description, example)."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": schema, "example": example.model_dump(exclude_none=True)}},
        }
        for status, words, example in cases
    }


def _invalid(error: RequestValidationError) -> Problem:
    errors = [
        InvalidParameter(name=str(refused["loc"][-1]), reason=str(refused["msg"]).removeprefix("Value error, "))
        for refused in error.errors()
    ]
    return Problem(
        type="urn:sistercity:problem:invalid-parameters",
        title="Parameters were refused",
        status=422,
        detail="; ".join(f"{parameter.name}: {parameter.reason}" for parameter in errors),
        errors=errors,
    )
