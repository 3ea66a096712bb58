"""`bamctl schema`."""

import json


def schema() -> int:
    """Print the JSON schema of placement files, for editors."""
    from bamctl.placement.placement import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0
