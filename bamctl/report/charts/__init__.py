"""Charts of reports, as data that `report.formats` draws."""
