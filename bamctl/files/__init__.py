"""Files: written atomically, read safely, validated against a schema.

- `atomic`: check that a file can be read; write a file whole or not at all
- `held_folder`: the folder of a long run, locked by one process at a time
- `schemas`: pydantic validation with one-line errors that name file, line and key
- `yaml_files`: YAML with the line number of every value
"""
