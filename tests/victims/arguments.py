"""Says what it was called with, and with which flags its interpreter runs."""

import json
import sys

flags = {"interactive": sys.flags.interactive, "environment": sys.flags.ignore_environment}
print(json.dumps({"arguments": sys.argv[1:], "module": __name__} | flags))
