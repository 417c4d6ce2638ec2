"""schemathesis against the server's own description: good and bad calls, no 500."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase

from krixik_async.testing import ServerProcess
from tests.soak.running import begin


def attack(
    schemathesis: Any, server: ServerProcess, *, examples: int, seed: int
) -> Counter[tuple[str, int]]:
    """Call every operation with generated input; give the statuses. Raises what it finds."""
    checks = schemathesis.checks
    wanted = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    statuses: Counter[tuple[str, int]] = Counter()
    limits = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )

    def call(operation: Any, mode: Any) -> None:
        @hypothesis.seed(seed)
        @limits
        @hypothesis.given(operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            answer = case.call(headers={"krixikApiKey": server.api_key})
            statuses[operation.label, answer.status_code] += 1
            case.validate_response(answer, checks=wanted)

        one()

    for found in schemathesis.openapi.from_url(f"{server.url}/openapi.json").get_all_operations():
        for mode in schemathesis.GenerationMode:
            call(found.ok(), mode)
    return statuses


def main() -> None:
    """Run until the end; --runs is examples for each operation, good and bad ones."""
    import schemathesis
    import schemathesis.specs.openapi.checks

    run = begin("server_schema", runs=500)
    with tempfile.TemporaryDirectory() as folder, ServerProcess(folder) as server:
        statuses: Counter[tuple[str, int]] = Counter()
        try:
            statuses = attack(schemathesis, server, examples=run.runs, seed=run.seed)
        except BaseExceptionGroup as error:  # how schemathesis says what it found
            run.finding(str(error))
    operations = {label for label, _ in statuses}
    run.end(calls=statuses.total(), operations=len(operations))


if __name__ == "__main__":
    main()
