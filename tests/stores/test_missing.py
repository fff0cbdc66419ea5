"""What is said where an extra is not installed."""

import json
import subprocess
import sys

EXTRAS = {
    "duragraph_worker.integrations.age": ("stamina", "age"),
    "duragraph_worker.integrations.neo4j": ("neo4j", "neo4j"),
    "duragraph_worker.integrations.neptune": ("boto3", "neptune"),
    "duragraph_worker.integrations.chroma": ("chromadb", "chroma"),
    "duragraph_worker.integrations.local": ("model2vec", "local"),
    "duragraph_worker.integrations.pgvector": ("stamina", "pgvector"),
    "duragraph_worker.integrations.pinecone": ("pinecone", "pinecone"),
    "duragraph_worker.integrations.qdrant": ("qdrant_client", "qdrant"),
    "duragraph_worker.integrations.weaviate": ("weaviate", "weaviate"),
    "duragraph_worker.vectors.documents": ("bs4", "documents"),
}
PROGRAM = """
import importlib, json, sys
told = {}
for module, (package, _) in json.loads(sys.argv[1]).items():
    sys.modules[package] = None
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        told[module] = str(error)
print(json.dumps(told))
"""


def test_the_pip_line_is_named():
    command = [sys.executable, "-c", PROGRAM, json.dumps(EXTRAS)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout) == {
        module: f"{package!r} is not installed: pip install 'duragraph[{extra}]'"
        for module, (package, extra) in EXTRAS.items()
    }
