"""Errors as RFC 9457 problems: every answer that is none ends here."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from federation.wire import InvalidParameter, Problem

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


class ApiProblem(Exception):
    """An error that a handler answers with. `kind` is the last part of the problem's type."""

    def __init__(self, status: int, kind: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(type=f"urn:sistercity:problem:{kind}", title=title, status=status, detail=detail)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response that nobody keeps."""
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the app a problem: the handlers' own, the framework's, and whatever was not foreseen."""

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

    @app.exception_handler(psycopg.OperationalError)
    def of_the_database(_: Request, error: psycopg.OperationalError) -> Response:
        log.warning("the database did not answer: %s", error)
        problem = ApiProblem(503, "unavailable", "Try again later", "The node's database did not answer.").problem
        return answer(problem, {"Retry-After": str(RETRY_AFTER_S)})

    @app.exception_handler(Exception)
    def unforeseen(_: Request, error: Exception) -> Response:
        return answer(Problem(title="Internal Server Error", status=500))  # the server's log has the rest


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
        InvalidParameter(name=str(one["loc"][-1]), reason=str(one["msg"]).removeprefix("Value error, "))
        for one in error.errors()
    ]
    return Problem(
        type="urn:sistercity:problem:invalid-parameters",
        title="Parameters were refused",
        status=422,
        detail="; ".join(f"{one.name}: {one.reason}" for one in errors),
        errors=errors,
    )
