"""Reports: one HTML file about a model, rendered from plain data."""

from dsae.report._collect import collect as collect
from dsae.report._joint import JointTable as JointTable
from dsae.report._joint import joint_table as joint_table
from dsae.report._joint import write_joint_report as write_joint_report
from dsae.report._render import render as render
from dsae.report._write import write_report as write_report
