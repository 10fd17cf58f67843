"""One HTML file that shows a model: collect plain data, then render it."""

from dsae.report._collect import collect as collect
from dsae.report._render import render as render
from dsae.report._write import write_report as write_report
