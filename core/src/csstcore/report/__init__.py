"""Quality checks, figures, and the HTML report of a run."""

from csstcore.report.checks import run_checks
from csstcore.report.figures import draw_figures
from csstcore.report.page import write_report

__all__ = ["draw_figures", "run_checks", "write_report"]
