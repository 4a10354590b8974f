#!/usr/bin/env python
"""Django's command line: ``python manage.py help`` lists the commands."""

import sys

from django.core.management import execute_from_command_line

from authsvc.startup import require_settings

if __name__ == "__main__":
    require_settings()
    execute_from_command_line(sys.argv)
