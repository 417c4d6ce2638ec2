"""The pytest plugin, as a user's own test suite meets it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from krixik_async.testing import FaultPlan, ServerProcess

ROOT = Path(__file__).parent.parent
STRICT = """
[pytest]
filterwarnings = error
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
markers = trio: as pytest-trio has it
"""
SEND = """
    pipeline = client.create_pipeline(name="books", module_chain=["keyword-db"])
    job = await pipeline.process(local_file_path=b"one two three four five six", file_name="a.txt")
    assert (await pipeline.wait_until_complete([job])).complete
"""


def run(
    pytester: pytest.Pytester, test: str, *options: str, conftest: str = "", ini: str = STRICT
) -> pytest.RunResult:
    pytester.makeini(ini)
    # For the servers that it starts: this checkout, also where it is not installed.
    pytester._monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(conftest)
    pytester.makepyfile(test)
    # The entry point has the module's name: where it is installed, this is the same plugin.
    return pytester.runpytest_inprocess("-p", "pytest_krixik_async", "-p", "no:cov", *options)


def says(result: pytest.RunResult, words: str) -> None:
    assert words in " ".join(result.stdout.str().replace("\nE ", " ").split())


def test_the_entry_point_names_the_module() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["entry-points"] == {
        "pytest11": {"pytest_krixik_async": "pytest_krixik_async"}
    }


def test_unused_it_imports_neither_the_package_nor_an_http_library() -> None:
    """What a run pays that does not use it: one module of a few lines."""
    program = (
        "import sys, pytest, pytest_krixik_async; "
        "print([m for m in ('krixik_async', 'httpx', 'anyio', 'starlette') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_a_run_without_its_fixtures_is_as_ever(pytester: pytest.Pytester) -> None:
    run(pytester, "def test_plain() -> None: assert True").assert_outcomes(passed=1)


@pytest.mark.parametrize("mark", ["anyio", "asyncio"])
def test_a_client_in_process_works_under_either_plugin(
    pytester: pytest.Pytester, mark: str
) -> None:
    """It is closed in the test's own task, so nothing warns; anyio's runs it on trio, too."""
    result = run(
        pytester,
        f"""
import pytest
clients = []

@pytest.mark.{mark}
async def test_it(krixik_client, krixik_faults) -> None:
    client = krixik_client
    clients.append(client)
{SEND}
    assert krixik_faults.fired == 0

def test_it_was_closed() -> None:
    assert clients and all("(closed)" in repr(client) for client in clients)
""",
    )
    result.assert_outcomes(passed={"anyio": 3, "asyncio": 2}[mark])


def test_a_test_that_fails_fails_as_it_would_and_its_client_is_closed(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
import pytest
class Test:
    @pytest.mark.asyncio
    async def test_it(self, krixik_client) -> None:
        await krixik_client.check_in()
        raise LookupError("mine")
""",
    )
    result.assert_outcomes(failed=1)
    says(result, "LookupError: mine")
    assert "ResourceWarning" not in result.stdout.str()


def test_virtual_time_passes_at_once_and_needs_no_mark(pytester: pytest.Pytester) -> None:
    """An hour of waiting for a service that is down."""
    result = run(
        pytester,
        f"""
from krixik_async.testing import Answer

async def test_it(krixik_client, krixik_faults, krixik_virtual_time) -> None:
    client = krixik_client
    clock = krixik_virtual_time
    started = (clock.now(), clock.wall())
    await clock.sleep(3600)
    krixik_faults.add(Answer("process_status", status=503, times=30))
{SEND}
    assert krixik_faults.fired == 30
    assert clock.now() - started[0] > 3600
    assert abs((clock.wall() - started[1]) - (clock.now() - started[0])) < 1e-3
""",
    )
    result.assert_outcomes(passed=1)


def test_virtual_time_on_both_backends_of_anyio(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        f"""
import pytest
@pytest.fixture
def anyio_backend(krixik_virtual_backend):
    return krixik_virtual_backend

@pytest.mark.anyio
async def test_it(krixik_client, krixik_virtual_time) -> None:
    client = krixik_client
    await krixik_virtual_time.sleep(36_000)
{SEND}
""",
    )
    result.assert_outcomes(passed=2)


def test_a_server_of_its_own_is_refused_in_virtual_time(pytester: pytest.Pytester) -> None:
    """It answers in real time: each call would run into its time limit at once."""
    result = run(
        pytester,
        """
async def test_it(krixik_server_client, krixik_virtual_time) -> None:
    await krixik_server_client.check_in()
""",
    )
    result.assert_outcomes(errors=1)
    says(result, "this test runs in virtual time: every call would time out at once")


def test_a_server_of_its_own_goes_wrong_dies_and_comes_back(pytester: pytest.Pytester) -> None:
    """The plan is set from the test; a killed server refuses connections and forgets nothing."""
    result = run(
        pytester,
        """
import pytest
from krixik_async import ConnectFailed, Krixik
from krixik_async.testing import DropAfter, FaultPlan

@pytest.mark.asyncio
async def test_it(krixik_server, krixik_server_client) -> None:
    pipeline = krixik_server_client.create_pipeline(name="books", module_chain=["parser"])
    krixik_server.set_faults(FaultPlan(DropAfter("list", on=1)))
    job = await pipeline.process(local_file_path=b"a b c d e f g", file_name="a.txt")
    await job
    assert len(await pipeline.list(file_ids=[job.file_id])) == 1
    assert krixik_server.fault_counts == ({"matched": 2, "fired": 1},)
    krixik_server.kill()
    assert krixik_server.pid is None
    async with Krixik(
        api_key=krixik_server.api_key, api_url=krixik_server.url, attempts=1
    ) as other:
        with pytest.raises(ConnectFailed):
            await other.check_in()
    krixik_server.start()
    assert len(await pipeline.list(file_ids=[job.file_id])) == 1
    assert krixik_server.fault_counts == ({"matched": 2, "fired": 1},)
    with pytest.raises(RuntimeError, match="runs already"):
        krixik_server.start()
    assert krixik_server.stop() == 0
    for use in (krixik_server.stop, lambda: krixik_server.fault_counts):
        with pytest.raises(RuntimeError, match="does not run"):
            use()
""",
    )
    result.assert_outcomes(passed=1)


def test_a_server_that_cannot_start_or_take_a_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with ServerProcess(tmp_path) as server:
        with pytest.raises(RuntimeError, match="ended with status 2: see stderr"):
            ServerProcess(tmp_path).start()
        assert "is in use by another" in capfd.readouterr().err
        server.api_key = "another"
        with pytest.raises(RuntimeError, match="did not take the faults: Forbidden"):
            server.set_faults(FaultPlan())


def test_virtual_time_is_had_in_pytest_asyncios_auto_mode_too(pytester: pytest.Pytester) -> None:
    """There the mark is on every async test, and nobody can leave it out."""
    result = run(
        pytester,
        """
import asyncio
async def test_ten_hours(krixik_client, krixik_virtual_time) -> None:
    await asyncio.sleep(36_000)
    assert asyncio.get_running_loop().time() == 36_000
    await krixik_client.check_in()
async def test_real(krixik_client) -> None:
    assert asyncio.get_running_loop().time() != 0
    await krixik_client.check_in()
""",
        ini=STRICT.replace("asyncio_mode = strict", "asyncio_mode = auto"),
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("fixtures", ["krixik_client, krixik_virtual_time", "krixik_client"])
def test_virtual_backends_are_had_in_pytest_asyncios_auto_mode_too(
    pytester: pytest.Pytester, fixtures: str
) -> None:
    """There pytest-asyncio would take anyio's tests as well, and sleep ten real hours."""
    result = run(
        pytester,
        f"""
import anyio, pytest, sniffio
seen = []

@pytest.fixture
def anyio_backend(krixik_virtual_backend):
    return krixik_virtual_backend

@pytest.mark.anyio
async def test_ten_hours({fixtures}) -> None:
    seen.append(sniffio.current_async_library())
    await anyio.sleep(36_000)
    await krixik_client.check_in()

def test_on_both() -> None:
    assert seen == ["asyncio", "trio"]
""",
        ini=STRICT.replace("asyncio_mode = strict", "asyncio_mode = auto"),
    )
    result.assert_outcomes(passed=3)


def test_virtual_time_is_had_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import asyncio
async def test_ten_hours(krixik_client, krixik_virtual_time) -> None:
    await asyncio.sleep(36_000)
    await krixik_client.check_in()
""",
        "-p",
        "no:asyncio",
        ini="[pytest]\nfilterwarnings = error\n",
    )
    result.assert_outcomes(passed=1)


def test_the_server_of_the_session_is_one(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
seen = []
def test_one(krixik_session_server) -> None:
    seen.append(krixik_session_server.pid)
def test_two(krixik_session_server) -> None:
    assert seen == [krixik_session_server.pid]
""",
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("def test_it(krixik_client): ...", "are for async tests"),
        ("def test_it(krixik_virtual_time): ...", "virtual time is for async tests"),
        (
            "import pytest\n@pytest.mark.asyncio\nasync def test_it(krixik_virtual_time): ...",
            "leave out the asyncio mark",
        ),
        (
            "import pytest\n@pytest.mark.trio\nasync def test_it(krixik_virtual_time): ...",
            "pytest-trio would run this test in real time",
        ),
        (
            "import pytest\n@pytest.mark.anyio\nasync def test_it(krixik_virtual_time): ...",
            "returns krixik_virtual_backend, or leave out the anyio mark",
        ),
    ],
)
def test_what_cannot_work_says_what_would(pytester: pytest.Pytester, test: str, words: str) -> None:
    result = run(pytester, test)
    assert result.parseoutcomes().get("errors", 0) >= 1
    says(result, words)
