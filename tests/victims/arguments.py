"""Says what it was called with, and with which flags its interpreter runs."""

import json
import sys

print(json.dumps({"arguments": sys.argv[1:], "interactive": sys.flags.interactive, "module": __name__, "environment": sys.flags.ignore_environment}))
