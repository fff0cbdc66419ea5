"""The house as `duragraph/__init__.py` draws it: who may import whom, and who may say what."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = sorted((ROOT / "duragraph").rglob("*.py"))
WORKER = sorted((ROOT / "duragraph_worker").rglob("*.py"))

FLOORS = (
    {
        "errors",
        "ids",
        "logs",
        "runtime",
        "tasks",
        "metrics",
        "questions",
        "event_names",
        "embedded",
        "usage",
        "waiting",
    },
    {"protocol"},
    {"codec", "models", "frames", "commit", "config", "headers", "project", "schedule", "sweeps"},
    {"thread_events", "part_cache"},
    {"pg", "bus", "addresses"},
    {"assistants", "intake", "streams", "seats", "inspection"},
    {"dispatch"},
    {"waker"},
    {"cancels", "consult"},
    {"identities", "creates", "reports", "reaper", "presence", "retention", "webhooks"},
    {"scheduler"},
    {"deps"},
    {"api"},
    {"app", "dev", "reload", "demo"},
    {"__main__"},
)
"""A file imports only from floors below its own."""

WORKER_FLOORS = (
    {
        "plan",
        "command",
        "serialize",
        "record",
        "partial_json",
        "extras",
        "threads",
        "batches",
        "clients",
        "replies",
    },
    {"errors", "messages", "served", "prompts", "retrying"},
    {"coerce"},
    {"state"},
    {"schema"},
    {"executor", "llm"},
    {"local"},
    {"vectors", "knowledge"},
    {"authoring"},
    {"process"},
    {"langgraph", "integrations"},
    {"__main__", "testing", "example"},
)
"""The same for `duragraph_worker/`. `langgraph`, an extra, is loaded by name where it is needed."""

API_SHARED = {
    "io",
    "fields",
    "sse",
    "middleware",
    "openapi",
    "docs",
    "creation",
    "idempotency",
    "updates",
    "cursors",
    "extract",
    "results",
    "access",
}
"""What the endpoints of `api/` may have in common; they never import each other."""

WORKER_MAY_IMPORT = {
    "errors",
    "ids",
    "codec",
    "models",
    "protocol",
    "questions",
    "event_names",
    "usage",
    "waiting",
    "project",
    "logs",
    "runtime",
}

FENCES = {
    "asyncpg": r"duragraph/pg/|duragraph_worker/integrations/(postgres|age)\.py",
    "watchfiles": r"duragraph/reload\.py",
    "cronsim": r"duragraph/schedule\.py",
    "cattrs": r"duragraph/config\.py",
    "nats": r"duragraph/bus\.py",
    "aiohttp_sse": r"duragraph/api/sse\.py",
    "aiohttp": (
        r"duragraph/(api/|deps\.py|app\.py|webhooks\.py|__main__\.py)"
        r"|duragraph_worker/(process/client|vectors/documents)\.py"
    ),
    "prometheus_client": r"duragraph/(metrics|api/system)\.py",
    "cyclopts": r"(duragraph|duragraph_worker)/__main__\.py|duragraph/demo\.py",
    "langgraph_sdk": r"duragraph/demo\.py|duragraph_worker/langgraph/",
    "dotenv": r"duragraph_worker/langgraph/project\.py",
    "langgraph": r"duragraph_worker/langgraph/",
    "langchain_core": r"duragraph_worker/langgraph/",
    "pydantic": r"duragraph_worker/langgraph/",
    "orjson": r"duragraph_worker/langgraph/",
    "starlette": r"duragraph_worker/langgraph/auth\.py",
    "openai": r"duragraph_worker/integrations/openai\.py",
    "anthropic": r"duragraph_worker/integrations/anthropic\.py",
    "httpx2": r"duragraph_worker/integrations/anthropic\.py",
    "cohere": r"duragraph_worker/integrations/cohere\.py",
    "ollama": r"duragraph_worker/integrations/ollama\.py",
    "httpx": (
        r"duragraph_worker/(integrations/(chroma|cohere|ollama)|langgraph/loopback)\.py"
        r"|duragraph/demo\.py"
    ),
    "chromadb": r"duragraph_worker/integrations/chroma\.py",
    "pinecone": r"duragraph_worker/integrations/pinecone\.py",
    "qdrant_client": r"duragraph_worker/integrations/qdrant\.py",
    "weaviate": r"duragraph_worker/integrations/weaviate\.py",
    "model2vec": r"duragraph_worker/integrations/local\.py",
    "bs4": r"duragraph_worker/vectors/documents\.py",
    "markdownify": r"duragraph_worker/vectors/documents\.py",
    "pypdf": r"duragraph_worker/vectors/documents\.py",
    "semantic_text_splitter": r"duragraph_worker/vectors/documents\.py",
    "jinja2": r"duragraph_worker/prompts\.py",
    "neo4j": r"duragraph_worker/integrations/neo4j\.py",
    "boto3": r"duragraph_worker/integrations/neptune\.py",
    "botocore": r"duragraph_worker/integrations/neptune\.py",
    "stamina": r"duragraph_worker/retrying\.py|duragraph/demo\.py",
}
"""Third parties and the only files that may know them."""

SQL = re.compile(
    r"\s*(select |insert into |update \w+ set |delete from |with \w+ as |create table )"
)
SPEAKS_SQL = {"duragraph_worker/integrations/pgvector.py", "duragraph_worker/integrations/age.py"}
MAKES_TASKS = {"duragraph/tasks.py", "duragraph/dev.py", "duragraph/__main__.py"}
"""The Supervisor, and the commands, which have a loop to themselves."""
LONGEST_FILE = 400
LIGHT = {"attr", "attrs", "docstring_parser", "msgspec", "typing_extensions", "uuid_utils"}
"""Third parties that the worker's users wait for whatever they write."""
MOST_LOADED = 300
"""Modules that `import duragraph_worker` loads, the standard library's included: 0.2 s at most."""


def name(path):
    return path.relative_to(ROOT).as_posix()


def tree(path):
    return ast.parse(path.read_text())


def imports(path):
    """Dotted names, those of a package's members included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path, package):
    """What of `package` this file imports: `duragraph.pg.runs` in `duragraph` is `pg`."""
    prefix, folder = f"{package}.", ROOT / package.replace(".", "/")
    found = {i.removeprefix(prefix).split(".")[0] for i in imports(path) if i.startswith(prefix)}
    return {r for r in found if (folder / f"{r}.py").exists() or (folder / r).is_dir()}


def attributes(path):
    return {ast.unparse(n) for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)}


def offenders(paths, find):
    """`{file: what is wrong with it}`, for a message that says it all."""
    return {name(path): found for path in paths if (found := find(path))}


def inside(folder):
    return [p for p in SERVER if p.parent.name == folder and p.stem != "__init__"]


@pytest.mark.parametrize(
    ("package", "floors"), [("duragraph", FLOORS), ("duragraph_worker", WORKER_FLOORS)]
)
def test_imports_go_downward(package, floors):
    def upward(path):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        (floor,) = (f for f in floors if parts[0] in f)
        below = set().union(*floors[: floors.index(floor)])
        return rooms(path, package) - below - ({parts[0]} if len(parts) > 1 else set())

    files = [p for p in SERVER + WORKER if p.is_relative_to(ROOT / package)]
    assert offenders([p for p in files if p != ROOT / package / "__init__.py"], upward) == {}


def test_tables_know_nothing_of_each_other():
    assert offenders(inside("pg"), lambda path: rooms(path, "duragraph.pg")) == {}


def test_endpoints_know_nothing_of_each_other():
    def others(path):
        own = {path.parent.name} if path.parent.parent.name == "api" else set()
        return rooms(path, "duragraph.api") - API_SHARED - own

    folder = ROOT / "duragraph/api"
    endpoints = [p for p in SERVER if folder in p.parents and p != folder / "__init__.py"]
    assert offenders(endpoints, others) == {}


def test_the_server_never_loads_the_worker():
    def worker(path):
        return [i for i in imports(path) if i.partition(".")[0] == "duragraph_worker"]

    assert offenders(SERVER, worker) == {}


def test_the_worker_imports_the_pure_files_only():
    assert offenders(WORKER, lambda p: rooms(p, "duragraph") - WORKER_MAY_IMPORT) == {}


def test_third_parties_stay_behind_their_fences():
    def trespassed(path):
        known = {i.partition(".")[0] for i in imports(path)}
        return [k for k, where in FENCES.items() if k in known and not re.match(where, name(path))]

    assert offenders(SERVER + WORKER, trespassed) == {}


def test_sql_stays_in_pg():
    def sql(path):
        strings = (n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant))
        return [s for s in strings if isinstance(s, str) and SQL.match(s)]

    silent = [p for p in SERVER + WORKER if p.parent.name != "pg" and name(p) not in SPEAKS_SQL]
    assert offenders(silent, sql) == {}


def test_the_environment_is_read_in_config():
    names = {"os.environ", "os.getenv", "os.environb"}
    found = offenders(SERVER + WORKER, lambda path: attributes(path) & names)
    # The other sets it, as a project's file says.
    assert found.keys() == {"duragraph/config.py", "duragraph_worker/langgraph/project.py"}


def test_the_supervisor_owns_all_tasks():
    names = {"asyncio.create_task", "asyncio.ensure_future", "loop.create_task"}
    assert offenders(SERVER, lambda path: attributes(path) & names).keys() == MAKES_TASKS


def test_imports_stand_at_the_top():
    def hidden(path):
        function = ast.FunctionDef | ast.AsyncFunctionDef
        bodies = [n for n in ast.walk(tree(path)) if isinstance(n, function)]
        nodes = [n for body in bodies for n in ast.walk(body)]
        return [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]

    assert offenders(SERVER + WORKER, hidden) == {}


def test_files_are_short():
    def length(path):
        lines = len(path.read_text().splitlines())
        return lines if lines > LONGEST_FILE else None

    assert offenders(SERVER + WORKER, length) == {}


def test_files_say_what_they_own():
    def silent(path):
        return ast.get_docstring(tree(path)) is None

    assert offenders(SERVER + WORKER, silent) == {}


def test_importing_the_worker_loads_little():
    program = (
        "import json, sys; before = set(sys.modules); import duragraph_worker;"
        "print(json.dumps(list(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(done.stdout))
    foreign = {m.partition(".")[0] for m in loaded} - sys.stdlib_module_names
    own = {"duragraph", "duragraph_worker"}
    assert foreign <= own | LIGHT
    assert len(loaded) < MOST_LOADED
    ours = {m.split(".")[1] for m in loaded if m.startswith("duragraph.")}
    assert ours <= WORKER_MAY_IMPORT
