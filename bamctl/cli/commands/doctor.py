"""`bamctl doctor`."""

from bamctl.cli.messages import working
from bamctl.cli.options.output import OutputOptions


def doctor(shown: OutputOptions) -> int:
    """Show what is installed and found here, in a form to paste into a bug report."""
    shown.check()
    with working("looking around"):
        from bamctl.diagnosis import diagnose
        from bamctl.report.views.doctor import doctor_report

        report = doctor_report(diagnose())
    shown.show(report)
    return 0
