"""Text that is shown: made safe for each format, and without passwords.

- `escapes`: text from outside, such as file names and keys, for each output format
- `masking`: passwords in database URLs
"""
