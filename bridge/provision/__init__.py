"""Dashboards in Langfuse, made and kept up to date through its public API.

``panels``   what the dashboard shows, as data: the place to change a chart
``shapes``   the records of a plan: what is there, what is wanted, what to do
``plan``     what is wanted and what is there → what to write; pure
``api``      the routes of dashboards and widgets, one request at a time
``perform``  look, plan, write

The routes are Langfuse's ``/api/public/unstable/dashboards`` and ``…/dashboard-widgets``, as they
were seen to behave on a running 4.16.0.
"""
