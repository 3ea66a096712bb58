"""Displayed text: escaped for each output format, and with passwords masked.

- `escapes`: escaping of untrusted text, such as file names and keys, for each output format
- `lists`: names in a sentence
- `masking`: passwords in database URLs
"""
