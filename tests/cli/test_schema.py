"""`bamctl schema` through the real console script."""

import json

import jsonschema


def test_it_is_a_json_schema(bamctl: object) -> None:
    schema = json.loads(bamctl("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"schema", "where", "attention", "insertions"} <= set(schema["properties"])
