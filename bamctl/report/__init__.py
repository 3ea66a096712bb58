"""Reports: results, before and after somebody decides how they are shown.

- `document`, `chart`: `Report`, its tables, sections and charts
- `views`: from each result to a report
- `charts`: the pictures of reports
- `formats`: from a report to a table, JSON, Markdown, CSV, a page and more
"""
