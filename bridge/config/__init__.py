"""What the user sets: every setting with its default, meaning and unit, and where it was set.

``settings``  the fields (:class:`Config`)
``values``    what values are right, and how each is read
``loading``   defaults < file < environment < options, all problems at once (:func:`load`)
``addresses`` where clients of this machine reach such a bridge
``documents`` the example file and the README's table, written from the fields

What only code sets is an argument and has no place here.
"""

from bridge.config.addresses import grpc_endpoint, http_endpoint
from bridge.config.documents import example_file, settings_table, written_tag
from bridge.config.loading import LoadedConfig, load
from bridge.config.settings import MASK, Config
from bridge.config.values import Content, LogFormat, LogLevel, Tag, User

__all__ = [
    "MASK",
    "Config",
    "Content",
    "LoadedConfig",
    "LogFormat",
    "LogLevel",
    "Tag",
    "User",
    "example_file",
    "grpc_endpoint",
    "http_endpoint",
    "load",
    "settings_table",
    "written_tag",
]
