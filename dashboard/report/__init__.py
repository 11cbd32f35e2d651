"""The report: one :class:`~dashboard.report.content.ReportData`, told on a web page and on paper."""

from dashboard.report.content import ReportData, report_data
from dashboard.report.page import html_report
from dashboard.report.paper import pdf_report

__all__ = ["ReportData", "html_report", "pdf_report", "report_data"]
